"""Proxies that look at what goes by."""

import socket
from collections.abc import Callable
from typing import Literal

from tests.servers.proxy import Direction, Proxy

Moment = Literal["before", "sent", "answered"]
"""The server has not seen the command; it has, and may be at it; it has answered, but the client does not know yet."""


class Trap(Proxy):
    """Springs once: at `moment` of the first command that holds `command`, then breaks that connection."""

    def __init__(self, target_port: int) -> None:
        self._command: bytes | None = None
        self._moment: Moment = "before"
        self._spring: Callable[[bytes], None] = lambda _line: None
        self._line = b""
        self._answer_due = False
        super().__init__(target_port)

    def arm(self, command: bytes, moment: Moment, spring: Callable[[bytes], None]) -> None:
        """Call `spring` with the command's line when the time comes."""
        self._command, self._moment, self._spring = command, moment, spring

    def _forward(self, data: bytes, target: socket.socket, direction: Direction) -> None:
        if self._answer_due and direction == "down":
            self._answer_due = False
            self._snap()
        seen = direction == "up" and self._command is not None and self._command in data
        if seen:
            self._command, self._line = None, data
            if self._moment == "before":
                self._snap()
            self._answer_due = self._moment == "answered"
        super()._forward(data, target, direction)
        if seen and self._moment == "sent":
            self._snap()

    def _snap(self) -> None:
        self._spring(self._line)
        raise ConnectionAbortedError


class Turnstile(Proxy):
    """A proxy that counts how many connections clients hold open at a time."""

    def __init__(self, target_port: int) -> None:
        self._open = 0
        self.most = 0
        super().__init__(target_port)

    def _pump(self, source: socket.socket, target: socket.socket, direction: Direction) -> None:
        if direction == "down":  # may go on for a while when the client has closed
            super()._pump(source, target, direction)
            return
        with self._lock:
            self._open += 1
            self.most = max(self.most, self._open)
        try:
            super()._pump(source, target, direction)
        finally:
            with self._lock:
                self._open -= 1
