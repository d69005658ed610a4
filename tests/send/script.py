"""An SMTP server that says what a test tells it to: for behaviour that no real server shows."""

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from threading import Thread

Reply = bytes | Callable[[], Iterator[bytes]]
"""What follows a command, or what gives it piece by piece."""

END = b"<end>"  # at the end of a reply: then the connection is dropped

USUAL: Mapping[str, Reply] = {
    "EHLO": b"250-script.example\r\n250-8BITMIME\r\n250-SIZE 100000\r\n250 AUTH PLAIN LOGIN CRAM-MD5 XOAUTH2\r\n",
    "AUTH": b"235 2.7.0 in\r\n",
    "DATA": b"354 go on\r\n",
    ".": b"250 2.0.0 queued as 4711\r\n",
    "QUIT": b"221 2.0.0 bye\r\n" + END,
}


class Script:
    """Listens on 127.0.0.1 at `port`; keeps every line that comes in `lines`."""

    def __init__(
        self, replies: Mapping[str, Reply] | None = None, *, greeting: Reply = b"220 script.example\r\n"
    ) -> None:
        """`replies`: by command; the others are answered as usual, or with 250.

        What comes after a 334 is answered by the one for "334"; the message with its final dot by the one for ".".
        """
        self.replies = {**USUAL, **(replies or {})}
        self.greeting = greeting
        self.lines: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listens no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def verbs(self) -> list[str]:
        """The commands that came, without their arguments."""
        return [line.split()[0].decode().upper() for line in self.lines if line.strip()]

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), client.makefile("rb") as stream:
            said = self._say(client, self.greeting)
            while not said.endswith(END) and (line := stream.readline()):
                self.lines.append(line)
                verb = line.split()[0].decode("latin-1").upper() if line.split() else ""
                if said.startswith(b"334"):
                    verb = "334"
                elif said.startswith(b"354"):
                    while line not in (b".\r\n", b""):
                        line = stream.readline()
                        self.lines.append(line)
                    verb = "."
                said = self._say(client, self.replies.get(verb, b"250 2.0.0 fine\r\n"))

    def _say(self, client: socket.socket, reply: Reply) -> bytes:
        said = b""
        for piece in [reply] if isinstance(reply, bytes) else reply():
            said += piece
            client.sendall(piece.removesuffix(END))
        return said


def drip(piece: bytes = b"2") -> Iterator[bytes]:
    """A minute of it, one piece each hundredth second."""
    for _ in range(6000):
        yield piece
        time.sleep(0.01)


def in_turn(*replies: bytes) -> Callable[[], Iterator[bytes]]:
    """Another reply each time, the last one for ever."""
    left = list(replies)

    def say() -> Iterator[bytes]:
        yield left.pop(0) if len(left) > 1 else left[0]

    return say
