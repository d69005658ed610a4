"""Dovecot 2.3, all in one folder, as root (its processes then run as nobody) or as an ordinary user.

Every user exists.  Only the local part of a name counts, in lower case: "acme", "ACME@event.data.example.net" and
"acme+token@event.data.example.net" (by LMTP) are one mailbox.
"""

import grp
import imaplib
import itertools
import os
import pwd
import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.authority import Authority
from tests.servers.debian import environment, fetch, version
from tests.servers.missing import Missing
from tests.servers.process import Process, free_ports, greeting, wait_for
from tests.servers.tokens import TokenEndpoint

PACKAGES = ("dovecot-core", "dovecot-imapd", "dovecot-lmtpd")
HOST = "127.0.0.1"
PASSWORD = "secret"

# What Dovecot 2.3.19 announces after a login.
CAPABILITIES = """
IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE SORT SORT=DISPLAY THREAD=REFERENCES THREAD=REFS THREAD=ORDEREDSUBJECT
MULTIAPPEND URL-PARTIAL CATENATE UNSELECT CHILDREN NAMESPACE UIDPLUS LIST-EXTENDED I18NLEVEL=1 CONDSTORE QRESYNC ESEARCH
ESORT SEARCHRES WITHIN CONTEXT=SEARCH LIST-STATUS BINARY MOVE SNIPPET=FUZZY PREVIEW=FUZZY PREVIEW STATUS=SIZE SAVEDATE
LITERAL+ NOTIFY
"""

# libdovecot has the place of its TLS module built in; in our copy it is a link in the folder where the processes start.
BUILT_IN = b"/usr/lib/dovecot/modules\0"
LIBRARY = "libdovecot.so.0"

CONFIGURATION = """
protocols = imap lmtp
listen = {host}
base_dir = {folder}/run
state_dir = {folder}/state
libexec_dir = {unpacked}/usr/lib/dovecot
mail_plugin_dir = {unpacked}/usr/lib/dovecot/modules
import_environment = TZ LD_LIBRARY_PATH
log_path = {folder}/dovecot.log
shutdown_clients = yes
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
default_login_user = {user}
default_internal_user = {user}
default_internal_group = {group}
disable_plaintext_auth = no
auth_mechanisms = plain login xoauth2 oauthbearer
auth_username_format = %Ln
auth_failure_delay = 0
recipient_delimiter = +
mail_location = {mail_location}
mail_fsync = never
mail_max_userip_connections = 1000
first_valid_uid = 0
first_valid_gid = 0
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp_port}
  }}
}}
service auth {{
  inet_listener {{
    port = {sasl_port}
  }}
}}
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2.conf
}}
passdb {{
  driver = static
  mechanisms = {password_mechanisms}
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={folder}/home/%u allow_all_users=yes
}}
protocol imap {{
  imap_capability = {capabilities}
}}
"""

OAUTH2 = """
introspection_mode = post
introspection_url = {url}
username_attribute = username
active_attribute = active
active_value = true
"""

QUOTA = """
mail_plugins = quota
protocol imap {{
  mail_plugins = quota imap_quota
}}
plugin {{
  quota = maildir:User quota
  quota_rule = *:storage={quota}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How one Dovecot differs from the usual one."""

    hide: tuple[str, ...] = ()  # capabilities that are not announced, such as ("MOVE", "UIDPLUS")
    passwords: bool = True  # whether a user may log in with a password; without, messages() cannot either
    quota: str | None = None  # of each user, such as "100k"
    mail_location: str = "maildir:~/Maildir"  # deliver() and reset_uidvalidity() know Maildir only
    names: tuple[str, ...] = (HOST, "localhost")  # for which the certificate is issued
    extra: str = ""  # further lines of dovecot.conf, which override those above


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a mailbox, as IMAP tells it."""

    uid: int
    flags: frozenset[str]  # without \Recent
    raw: bytes


class Dovecot:
    """One Dovecot.  Ports and mail stay the same when it is stopped or killed and started again.

    `tokens` maps each OAuth token that is valid now to its user; it may be changed at any time.
    """

    host = HOST
    password = PASSWORD

    def __init__(self, folder: Path, authority: Authority, options: Options | None = None) -> None:
        """Prepare `folder`, which must be open to every user.  Raises Missing."""
        self.folder = folder
        self.ca_file = authority.ca_file
        self._options = options or Options()
        self._certificate, self._key = authority.issue(*self._options.names)
        self._unpacked = fetch(*PACKAGES)
        if not re.match(r"1:2\.3\.", release := version(self._unpacked, "dovecot-core")):
            raise Missing(f"dovecot: 2.3 is needed, Debian's packages here have {release}")
        self._environment = self._prepare()
        self._names, self._users = itertools.count(), itertools.count(1)
        self._endpoint = TokenEndpoint()
        self.tokens = self._endpoint.tokens
        self._configure()
        self._process: Process | None = None
        self._started = False

    def start(self) -> None:
        """Start and wait until it answers."""
        for _ in range(5):
            if self._try_start():
                self._started = True
                return
            if not self._started:
                self._configure()  # somebody else took one of the ports in the meantime
        raise RuntimeError(f"dovecot does not start:\n{self.log_text()[-2000:]}")

    def stop(self) -> None:
        """End it in an orderly way, its clients with it; sessions that were busy in the last ten seconds are killed."""
        if self._process:
            self._process.send(signal.SIGCONT)
            self._process.stop(seconds=2)

    def kill(self) -> None:
        """End all its processes with SIGKILL."""
        self._running.kill()

    def pause(self) -> None:
        """Stop all its processes where they are: connections stay open, the kernel takes new ones, nobody answers."""
        self._running.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after pause()."""
        self._running.send(signal.SIGCONT)

    def cut_connections(self) -> None:
        """Break every client's connection at once."""
        for name in ("imap", "imap-login"):
            self._running.kill_members(name)

    def close(self) -> None:
        """End it for good and at once, with the endpoint that knows its tokens."""
        if self._process:
            self._process.kill()
        self._endpoint.close()

    def new_user(self) -> str:
        """The name of a user whom nobody has used yet."""
        return f"user-{next(self._users)}"

    def deliver(self, user: str, *raws: bytes, folder: str = "INBOX") -> None:
        """Put messages straight into the Maildir.  A running server sees them; their UIDs follow the given order."""
        maildir = self._maildir(user, folder)
        for raw in raws:
            name = self._unique_name(raw)
            (maildir / "tmp" / name).write_bytes(raw)
            (maildir / "tmp" / name).rename(maildir / "new" / name)

    def messages(self, user: str, folder: str = "INBOX") -> list[Message]:
        """All messages in order of their UIDs, read by plain imaplib without changing anything."""
        with self._examine(user, folder) as client:
            _, answer = client.uid("FETCH", "1:*", "(UID FLAGS BODY.PEEK[])")
        return [_message(item[0], item[1]) for item in answer if isinstance(item, tuple)]

    def uidvalidity(self, user: str, folder: str = "INBOX") -> int:
        """The folder's UIDVALIDITY (RFC 9051 §2.3.1.1)."""
        with self._examine(user, folder) as client:
            return int(client.response("UIDVALIDITY")[1][0])

    def reset_uidvalidity(self, user: str, folder: str = "INBOX") -> int:
        """Forget all UIDs: mail and flags stay, UIDs begin at 1 under a higher UIDVALIDITY, which is returned.

        It breaks every client's connection: a session that knows the old numbers would write them again.
        """
        old = self.uidvalidity(user, folder)
        maildir = self._maildir(user, folder)
        self.pause()  # so that nobody comes back too early
        self.cut_connections()
        for pattern in ("dovecot-uidlist*", "dovecot.index*", "dovecot.list.index*"):  # and locks of killed sessions
            for path in maildir.glob(pattern):
                path.unlink()
        self.resume()
        new = self.uidvalidity(user, folder)
        assert new > old, f"UIDVALIDITY is {new} after {old}"
        return new

    def log_text(self) -> str:
        """All that it has logged."""
        return "".join(
            path.read_text(errors="replace")
            for path in (self.folder / "output", self.folder / "dovecot.log")
            if path.exists()
        )

    @property
    def _running(self) -> Process:
        assert self._process, "dovecot is not started"
        return self._process

    def _prepare(self) -> dict[str, str]:
        """Lay out the folder; the environment in which Dovecot finds its libraries."""
        for name in ("run", "state", "home", "lib"):
            (self.folder / name).mkdir(parents=True)
        _give_away(self.folder / "home")
        modules = self._unpacked / "usr/lib/dovecot/modules"
        (self.folder / "run/modules").symlink_to(modules)
        library = (self._unpacked / "usr/lib/dovecot" / LIBRARY).read_bytes()
        assert BUILT_IN in library, "libdovecot has no place of modules built in"
        (self.folder / "lib" / LIBRARY).write_bytes(library.replace(BUILT_IN, b"modules".ljust(len(BUILT_IN), b"\0")))
        found = environment(self._unpacked, "usr/lib/dovecot", "usr/lib/dovecot/modules/old-stats")
        return {**found, "LD_LIBRARY_PATH": f"{self.folder}/lib:{found['LD_LIBRARY_PATH']}"}

    def _configure(self) -> None:
        """Choose ports and write the configuration."""
        self.port, self.tls_port, self.lmtp_port, self.sasl_port = free_ports(4)
        user, group = _account()
        known = CAPABILITIES + ("QUOTA" if self._options.quota else "")
        text = CONFIGURATION.format(
            host=HOST,
            folder=self.folder,
            unpacked=self._unpacked,
            certificate=self._certificate,
            key=self._key,
            user=user,
            group=group,
            mail_location=self._options.mail_location,
            port=self.port,
            tls_port=self.tls_port,
            lmtp_port=self.lmtp_port,
            sasl_port=self.sasl_port,
            password=PASSWORD,
            password_mechanisms="plain login" if self._options.passwords else "none",
            capabilities=" ".join(name for name in known.split() if name not in self._options.hide),
        )
        if self._options.quota:
            text += QUOTA.format(quota=self._options.quota)
        (self.folder / "dovecot.conf").write_text(text + self._options.extra + "\n")
        (self.folder / "oauth2.conf").write_text(OAUTH2.format(url=self._endpoint.url))

    def _try_start(self) -> bool:
        binary, conf = self._unpacked / "usr/sbin/dovecot", self.folder / "dovecot.conf"
        doveconf = self._unpacked / "usr/bin/doveconf"  # which dovecot itself looks for in /usr/bin
        self._process = Process(
            [doveconf, "-c", conf, "-f", "service=dovecot", "-e", binary, "-F", "-c", conf],
            output=self.folder / "output",
            environment=self._environment,
            folder=self.folder / "run",
        )
        wait_for(
            lambda: not self._running.running or greeting(self.port).startswith(b"* OK"),
            seconds=15,
            what="dovecot's greeting",
        )
        return self._process.running

    def _maildir(self, user: str, folder: str) -> Path:
        """The Maildir of a user's folder, made where it is not there."""
        home = self.folder / "home" / user.partition("@")[0].lower()
        maildir = home / "Maildir" if folder == "INBOX" else home / "Maildir" / f".{folder}"
        for path in (home, home / "Maildir", maildir, *(maildir / name for name in ("cur", "new", "tmp"))):
            path.mkdir(mode=0o700, exist_ok=True)
            _give_away(path)
        return maildir

    def _unique_name(self, raw: bytes) -> str:
        """A name that sorts by time of delivery and tells the sizes, for which Dovecot then need not read the file."""
        size, lines, ends = len(raw), raw.count(b"\n"), raw.count(b"\r\n")
        number = next(self._names)
        now = time.time_ns() // 1000 + number  # each name is later than the one before, whatever the clock's steps
        return f"{now // 1_000_000}.M{now % 1_000_000:06}P{os.getpid()}Q{number}.test,S={size},W={size + lines - ends}"

    @contextmanager
    def _examine(self, user: str, folder: str) -> Iterator[imaplib.IMAP4]:
        with imaplib.IMAP4(HOST, self.port, timeout=60) as client:
            client.login(user, PASSWORD)
            status, answer = client.select(f'"{folder}"', readonly=True)
            assert status == "OK", answer
            yield client


def _account() -> tuple[str, str]:
    """The user and group that own the mail: nobody where we are root, else ourselves."""
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    return user.pw_name, grp.getgrgid(user.pw_gid).gr_name


def _give_away(path: Path) -> None:
    """Let `path` belong to the owner of the mail."""
    if os.geteuid() == 0:
        shutil.chown(path, *_account())


def _message(head: bytes, raw: bytes) -> Message:
    parts = re.search(rb"UID (\d+) FLAGS \(([^)]*)\)", head)
    assert parts, head
    return Message(int(parts[1]), frozenset(parts[2].decode().split()) - {"\\Recent"}, raw)
