"""A TCP proxy on loopback that makes a connection fail in the middle."""

import re
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Literal

Direction = Literal["up", "down"]  # up: from client to server
Pump = Callable[[socket.socket, socket.socket, Direction], None]

LITERAL = re.compile(rb"\{(\d+)\+?\}\r\n\Z")  # the octets that follow a line (RFC 9051 §4.3)
TAGGED = rb"[^*+ ]\S* (OK|NO|BAD) "


class Proxy:
    """Listens on `port`, forwards to `target_port`, and does what it is told to the connections."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0  # accepted so far
        self.delay = 0.0  # seconds before each piece of data is forwarded
        self._flowing = Event()
        self._flowing.set()
        self._lock = Lock()
        self._sockets: set[socket.socket] = set()
        self._cut_after: dict[Direction, int] = {}
        self._injections: list[tuple[bytes, re.Pattern[bytes]]] = []
        self._listen()

    def cut(self) -> None:
        """Break every connection now."""
        with self._lock:
            for sock in self._sockets:
                _break(sock)

    def cut_after(self, count: int, direction: Direction = "down") -> None:
        """Once: break the connections when `count` more octets have been forwarded in `direction`."""
        with self._lock:
            self._cut_after[direction] = count

    def stall(self) -> None:
        """Forward nothing more; connections stay open, new ones are taken."""
        self._flowing.clear()

    def resume(self) -> None:
        """Go on after stall(), with what has come in the meantime."""
        self._flowing.set()

    def refuse(self) -> None:
        """Break every connection and refuse new ones."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._acceptor.join()
        self._listener.close()
        self.cut()

    def accept(self) -> None:
        """Listen on the same port again after refuse()."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listen()

    def inject(self, line: bytes, *, before: bytes = TAGGED) -> None:
        """Once: in a connection made from now on, put `line` before the first line of the server that `before` matches.

        line    a whole response without CR LF, such as b"* 23 EXISTS"
        before  a regular expression for the start of a response; by default that of a command's completion

        It stands between two responses, never inside a literal.  Plain text only.
        """
        with self._lock:
            self._injections.append((line, re.compile(before)))

    def close(self) -> None:
        """Refuse for good."""
        self._flowing.set()
        self.refuse()

    def _listen(self) -> None:
        self._acceptor = Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._acceptor.start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client, _ = listener.accept()
                Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Forward both ways until both sides have ended."""
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._target_port)) as server:
            with self._lock:
                self.connections += 1
                self._sockets |= {client, server}
                pump = self._pump_lines if self._injections else self._pump
            up = Thread(target=self._run, args=(self._pump, client, server, "up"), daemon=True)
            up.start()
            self._run(pump, server, client, "down")
            up.join()
            with self._lock:
                self._sockets -= {client, server}

    def _run(self, pump: Pump, source: socket.socket, target: socket.socket, direction: Direction) -> None:
        """Forward one way; the end of `source` is passed on, a broken connection ends both ways."""
        try:
            pump(source, target, direction)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            _break(source)
            _break(target)

    def _pump(self, source: socket.socket, target: socket.socket, direction: Direction) -> None:
        while data := source.recv(65536):
            self._forward(data, target, direction)

    def _pump_lines(self, source: socket.socket, target: socket.socket, direction: Direction) -> None:
        """Forward whole lines, so that there are places between responses."""
        starts = True  # a response starts here: no literal came right before
        with source.makefile("rb") as stream:
            while line := stream.readline():
                self._forward((self._due(line) if starts else b"") + line, target, direction)
                literal = LITERAL.search(line)
                if literal:
                    self._forward(stream.read(int(literal[1])), target, direction)
                starts = literal is None

    def _due(self, line: bytes) -> bytes:
        """What is to be injected before `line`, and will not be again."""
        with self._lock:
            due = [item for item in self._injections if item[1].match(line)]
            self._injections = [item for item in self._injections if item not in due]
        return b"".join(text + b"\r\n" for text, _ in due)

    def _forward(self, data: bytes, target: socket.socket, direction: Direction) -> None:
        self._flowing.wait()
        if self.delay:
            time.sleep(self.delay)
        with self._lock:
            left = self._cut_after.get(direction)
            cut = left is not None and len(data) >= left
            if cut:
                data = data[: self._cut_after.pop(direction)]
            elif left is not None:
                self._cut_after[direction] = left - len(data)
        target.sendall(data)
        if cut:
            self.cut()


def _break(sock: socket.socket) -> None:
    """End both ways; whoever reads from it or writes to it comes back."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
