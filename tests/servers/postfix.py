"""Postfix in its own folder.  Root only: its own set-up changes owners, and refuses to do without."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.debian import environment, fetch
from tests.servers.missing import Missing
from tests.servers.process import Process, free_ports, greeting, wait_for

PACKAGES = ("postfix",)

# Any unprivileged pair that exists everywhere (Debian's base-passwd) and that runs nothing here.
OWNER, GROUP = "news", "uucp"

# Queue folders and their modes, after Postfix's own list (postfix-files).
QUEUES = {
    **dict.fromkeys(("active", "bounce", "corrupt", "defer", "deferred", "flush"), 0o700),
    **dict.fromkeys(("hold", "incoming", "private", "saved", "trace"), 0o700),
    "maildrop": 0o730,
    "public": 0o710,
}

# Delay notices after 6 s and the end of a message's life after 25 s.
IMPATIENT = {
    "delay_warning_time": "6s",
    "maximal_queue_lifetime": "25s",
    "bounce_queue_lifetime": "25s",
    "minimal_backoff_time": "4s",
    "maximal_backoff_time": "8s",
    "queue_run_delay": "3s",
}


class Postfix:
    """One Postfix: takes any mail from loopback, and hands it to the relay, or to the mail store by LMTP."""

    host = "127.0.0.1"

    def __init__(
        self,
        folder: Path,
        *,
        relay_port: int,
        lmtp_port: int | None = None,
        event_domain: str = "event.data.example.net",
        main: Mapping[str, str] | None = None,
        master: Sequence[str] = (),
    ) -> None:
        """Prepare `folder`, which must be open to every user.  Raises Missing.

        relay_port  of 127.0.0.1, where all mail is sent but that for event_domain
        lmtp_port   of 127.0.0.1, where mail for event_domain is delivered
        main        settings of main.cf that are added, or replace those below
        master      lines of master.cf that are added
        """
        if os.geteuid() != 0:
            raise Missing("postfix: runs as root only")
        self._folder = folder
        self._unpacked = fetch(*PACKAGES)
        self._environment = environment(self._unpacked, "usr/lib/postfix") | {"MAIL_CONFIG": str(folder / "etc")}
        self._master = master
        self._prepare()
        settings = self._settings() | {"default_transport": f"smtp:[127.0.0.1]:{relay_port}"}
        if lmtp_port is not None:
            settings["relay_domains"] = event_domain
            settings["transport_maps"] = f"inline:{{ {{ {event_domain} = lmtp:inet:127.0.0.1:{lmtp_port} }} }}"
        settings |= main or {}
        lines = (f"{name} = {value}\n" for name, value in settings.items())
        (folder / "etc/main.cf").write_text("".join(lines))
        (self.port,) = free_ports(1)
        self._process: Process | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        for _ in range(5):
            if self._try_start():
                return
            (self.port,) = free_ports(1)  # somebody else took it in the meantime
        raise RuntimeError(f"postfix does not start:\n{self.log_text()[-2000:]}")

    def stop(self) -> None:
        """End it; what is queued stays queued."""
        if self._process:
            self._process.stop()

    def queue(self) -> list[dict[str, object]]:
        """What waits: an object per message, as `postqueue -j` prints it."""
        listing = subprocess.run(
            [self._unpacked / "usr/sbin/postqueue", "-j"],
            env=self._environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return [json.loads(line) for line in listing.stdout.splitlines()]

    def log_text(self) -> str:
        """All that it has logged."""
        return "".join(
            path.read_text(errors="replace")
            for path in (self._folder / "output", self._folder / "maillog")
            if path.exists()
        )

    def _prepare(self) -> None:
        """Lay out the folder as Postfix's own set-up does, which takes two seconds for it."""
        for name in ("etc", "data", "queue", "queue/pid", *(f"queue/{name}" for name in QUEUES)):
            (self._folder / name).mkdir(parents=True)
        shutil.chown(self._folder / "data", OWNER)
        for name, mode in QUEUES.items():
            shutil.chown(self._folder / "queue" / name, OWNER, GROUP if mode != 0o700 else None)
            (self._folder / "queue" / name).chmod(mode)

    def _settings(self) -> dict[str, str]:
        folder, unpacked = self._folder, self._unpacked
        return {
            "compatibility_level": "3.6",
            "queue_directory": f"{folder}/queue",
            "data_directory": f"{folder}/data",
            "maillog_file": f"{folder}/maillog",
            "maillog_file_prefixes": f"{folder}",
            "shlib_directory": f"{unpacked}/usr/lib/postfix",
            "daemon_directory": f"{unpacked}/usr/lib/postfix/sbin",
            "command_directory": f"{unpacked}/usr/sbin",
            "meta_directory": f"{unpacked}/etc/postfix",
            "sendmail_path": f"{unpacked}/usr/sbin/sendmail",
            "mailq_path": f"{unpacked}/usr/bin/mailq",
            "newaliases_path": f"{unpacked}/usr/bin/newaliases",
            "mail_owner": OWNER,
            "setgid_group": GROUP,
            "import_environment": "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C LD_LIBRARY_PATH",
            "myhostname": "relay.test",
            "mydestination": "",
            "mynetworks": "127.0.0.0/8",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "alias_maps": "",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "disable_dns_lookups": "yes",
        }

    def _services(self) -> str:
        """master.cf: the distributed one, SMTP on our port, nothing chrooted."""
        lines = []
        for line in (self._unpacked / "usr/share/postfix/master.cf.dist").read_text().splitlines():
            fields = line.split()
            if line[:1].isalpha() and len(fields) > 7:
                name = f"127.0.0.1:{self.port}" if fields[:2] == ["smtp", "inet"] else fields[0]
                line = " ".join([name, *fields[1:4], "n", *fields[5:]])
            lines.append(line)
        return "\n".join([*lines, *self._master, ""])

    def _try_start(self) -> bool:
        (self._folder / "etc/master.cf").write_text(self._services())
        self._process = process = Process(
            [self._unpacked / "usr/lib/postfix/sbin/master", "-s", "-c", self._folder / "etc"],
            output=self._folder / "output",
            environment=self._environment,
            folder=self._folder,
        )
        wait_for(
            lambda: not process.running or greeting(self.port).startswith(b"220"), seconds=15, what="postfix's greeting"
        )
        return process.running
