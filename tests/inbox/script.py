"""An IMAP server that says what a test tells it to: for behaviour that no real server shows."""

import re
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Thread

Reply = bytes | Callable[[bytes], bytes | None]
"""What follows a command: TAG stands for its tag.  A function is given the arguments; None drops the connection."""

END = b"<end>"  # at the end of a reply: then the connection is dropped

USUAL: Mapping[str, Reply] = {
    "CAPABILITY": b"* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR MOVE UIDPLUS\r\nTAG OK done\r\n",
    "AUTHENTICATE": b"TAG OK in\r\n",
    "LOGIN": b"TAG OK in\r\n",
    "EXAMINE": b"* 5 EXISTS\r\n* OK [UIDVALIDITY 7] .\r\n* OK [UIDNEXT 6] .\r\nTAG OK [READ-ONLY] done\r\n",
    "SELECT": b"* 5 EXISTS\r\n* OK [UIDVALIDITY 7] .\r\n* OK [UIDNEXT 6] .\r\nTAG OK [READ-WRITE] done\r\n",
    "LOGOUT": b"* BYE\r\nTAG OK done\r\n",
}


class Script:
    """Listens on 127.0.0.1 at `port`; keeps every line that comes in `lines`."""

    def __init__(self, replies: Mapping[str, Reply] | None = None, *, greeting: bytes = b"* OK ready\r\n") -> None:
        """`replies`: by command, such as "EXAMINE" or "UID FETCH"; the others are answered as usual, or with OK.

        What comes after a reply that begins with "+" is answered by the one for "AUTHENTICATE +".
        """
        self.replies = {**USUAL, **(replies or {})}
        self.greeting = greeting
        self.lines: list[bytes] = []
        self.connections = 0
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

    def commands(self, name: str) -> list[bytes]:
        """The lines with which a command came, without their tags."""
        return [
            line.split(b" ", 1)[1] for line in self.lines if line.split(b" ", 1)[1:] and f" {name} ".encode() in line
        ]

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), client.makefile("rb") as stream:
            client.sendall(self.greeting)
            tag = name = ""
            while line := self._read(stream.readline, stream.read, client):
                words = line.decode("latin-1").split()
                if name.endswith("+"):  # what a challenge asked for
                    arguments = line
                else:
                    tag, name, *_ = [*words, "", ""]
                    name = " ".join(words[1:3]) if name == "UID" else name
                    arguments = line.partition(name.encode("latin-1") + b" ")[2].rstrip(b"\r\n")
                reply = self.replies.get(name, b"TAG OK done\r\n")
                answer = reply(arguments) if callable(reply) else reply
                if answer is None:
                    return
                client.sendall(answer.removesuffix(END).replace(b"TAG", tag.encode("latin-1")))
                if answer.endswith(END):
                    return
                name = f"{name} +" if answer.startswith(b"+") else ""

    def _read(self, readline: Callable[[], bytes], read: Callable[[int], bytes], client: socket.socket) -> bytes:
        """One command with its literals."""
        line = readline()
        while literal := re.search(rb"\{(\d+)\}\r\n\Z", line):
            client.sendall(b"+ go on\r\n")
            line += read(int(literal[1])) + readline()
        if line:
            self.lines.append(line)
        return line


def fetched(uid: int, raw: bytes, *, item: bytes = b"BODY[]") -> bytes:
    """A FETCH response with one message."""
    return b"* %d FETCH (UID %d %s {%d}\r\n%s)\r\n" % (uid, uid, item, len(raw), raw)


def sized(uid: int, size: int, date: bytes = b"23-Nov-2026 04:51:00 +0200") -> bytes:
    """A FETCH response with a message's size and date."""
    return b'* %d FETCH (UID %d RFC822.SIZE %d INTERNALDATE "%s")\r\n' % (uid, uid, size, date)
