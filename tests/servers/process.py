"""Start a server so that it ends with the test run, however that ends; wait for it; stop it."""

import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

# Standard input is a pipe from the test run: once that has ended, even by SIGKILL, `read` returns and the group goes.
GUARD = 'read -r _; kill -s CONT -- "-$1"; kill -s TERM -- "-$1"; sleep 3; kill -s KILL -- "-$1"'


class Process:
    """A server's first process, leader of a process group of its own."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        output: Path,
        environment: Mapping[str, str],
        folder: Path,
        user: str | None = None,
    ) -> None:
        """Start `command` in `folder`, as `user` where given (root only); its output is appended to `output`."""
        account = pwd.getpwnam(user) if user else None
        with output.open("ab") as log:
            self._leader = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(environment),
                cwd=folder,
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
                start_new_session=True,
            )
        self.pid = self._leader.pid
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "guard", str(self.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def running(self) -> bool:
        """Whether the first process is alive."""
        return self._leader.poll() is None

    @property
    def status(self) -> int | None:
        """The first process's exit status, the number of a signal negated; None while it is alive."""
        return self._leader.poll()

    def send(self, number: int) -> None:
        """Send a signal to the whole group; nothing where it has ended."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def stop(self, number: int = signal.SIGTERM, *, seconds: float = 15) -> None:
        """End the first process with `number`, wait until the group has gone; kill what is left after `seconds`."""
        self._release_guard()
        if self.running:
            self._leader.send_signal(number)
        try:
            wait_for(lambda: not self.running and not self.members(), seconds=seconds, what="the server's end")
        except TimeoutError:
            self.kill()

    def kill(self) -> None:
        """End the whole group with SIGKILL."""
        self._release_guard()
        self.send(signal.SIGKILL)
        self._leader.wait()
        wait_for(lambda: not self.members(), seconds=5, what="the end of killed processes")

    def members(self, name: str | None = None) -> list[int]:
        """Process ids of the group, without zombies; only of programs called `name` where given."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                head, _, tail = (folder / "stat").read_text().rpartition(")")  # PID (NAME) STATE PARENT GROUP ...
            except OSError:  # it has just ended
                continue
            state, _, group = tail.split()[:3]
            if group == str(self.pid) and state != "Z" and name in {None, head.partition("(")[2]}:
                found.append(int(folder.name))
        return found

    def kill_members(self, name: str) -> None:
        """Kill the group's processes whose program is called `name`, and wait until they have gone."""
        killed = set(self.members(name))
        for pid in killed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: killed.isdisjoint(self.members(name)), seconds=5, what=f"the end of {name}")

    def _release_guard(self) -> None:
        """End the guard, by SIGKILL so that it does nothing more."""
        if self._guard.returncode is None:
            self._guard.kill()
            self._guard.communicate()


def wait_for(look: Callable[[], T], *, seconds: float, what: str) -> T:
    """The first true value of `look`; TimeoutError that names `what` after `seconds`."""
    end = time.monotonic() + seconds
    while not (value := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.01)
    return value


def free_ports(count: int) -> list[int]:
    """Different TCP ports of 127.0.0.1 that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def greeting(port: int) -> bytes:
    """The first bytes that the server on `port` of 127.0.0.1 says; none where nobody listens or nothing comes."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            return sock.recv(1024)
    except OSError:
        return b""
