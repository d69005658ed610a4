"""The connection to an SMTP server: verified TLS, a time limit for each step, bounds on what the server may say.

smtplib below it writes commands and reads what EHLO offers.  What it leaves open is here: its time limit is for each
octet that comes, so that a server which sends one a minute holds it for ever, and it reads replies without end.
Sources: RFC 5321 (SMTP), RFC 3207 (STARTTLS).
"""

import re
import smtplib
import socket
import ssl
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock

from bounced.send.failure import LineError
from bounced.send.reply import Reply, from_server

MAX_REPLY = 64 * 2**10  # octets of one reply with all its lines
CHUNK = 16 * 2**10  # octets written at a time: one TLS record, so that no single write can outlast its limit
QUIT_SECONDS = 5.0

REPLY_LINE = re.compile(rb"(?P<code>[2-5]\d\d)(?:(?P<more>-)| |\Z)(?P<text>.*)", re.S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds that each step may take as a whole, after RFC 5321 §4.5.3.2."""

    connect: float = 30.0  # to all addresses of the host together; as much again for the TLS handshake
    command: float = 300.0  # from a command to the end of its reply; also for the greeting
    block: float = 180.0  # for CHUNK octets of the message
    transfer: float = 1_800.0  # for the message as a whole
    end: float = 600.0  # from its final dot to the end of the reply


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Certificate and host name are verified, against the system's authorities and those in `ca_file`.

    raises   OSError: `ca_file` cannot be read
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


def opportunistic_context() -> ssl.SSLContext:
    """Any certificate will do: who would else send in the clear loses nothing by it (RFC 7435 §3)."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Line(smtplib.SMTP):
    """smtplib's connection, with limits.  Raises OSError, LineError among them, and ValueError for a host's bad name.

    `secrets` was sent to the server; no Reply shows it.
    """

    def __init__(self, host: str, port: int, timeouts: Timeouts) -> None:
        super().__init__(local_hostname="localhost")  # connects nowhere; the name is known once there is a connection
        self.place = f"{host}:{port}"
        self.secrets: list[str] = []
        self.command_encoding = "utf-8"  # beyond ASCII only in addresses, after SMTPUTF8 was offered
        self._server, self._timeouts = (host, port), timeouts
        self._context: ssl.SSLContext | None = None
        self._buffer = bytearray()
        self._ends = 0.0
        self._is_cut = self._is_handed_over = False
        self._cutting = Lock()

    def cut(self) -> None:
        """From another thread: every wait ends at once, and none begins.

        But that for the reply to a message goes on: without it nobody knows what became of it.
        """
        with self._cutting:
            self._is_cut = True
            sock = None if self._is_handed_over else self.sock
        if sock:
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not TLS's own, which is not made for two threads

    def dial(self, context: ssl.SSLContext | None) -> Reply:
        """Connects, with TLS from the start where there is a context; the greeting."""
        self._context = context
        return self._reply(*self.connect(*self._server))

    def hello(self) -> Reply:
        """EHLO, or HELO where the server does not know that (RFC 5321 §3.2): then it offers nothing."""
        self._begin(self._timeouts.command)
        reply = self._reply(*self.ehlo(self._own_name()))
        if reply.code // 100 == 5:
            self._begin(self._timeouts.command)
            reply = self._reply(*self.helo(self._own_name()))
        return reply

    def encrypt(self, context: ssl.SSLContext) -> None:
        """The TLS handshake, after the server's yes to STARTTLS.  What it offered before is forgotten."""
        self._no_early_words()  # they would be taken for ones that came encrypted
        self.esmtp_features = {}
        self.sock = self._handshake(self._connected, context)

    def command(self, verb: str, arguments: str = "") -> Reply:
        """The reply to one command."""
        self._begin(self._timeouts.command)
        return self._reply(*self.docmd(verb, arguments))

    def write(self, content: bytes) -> None:
        """The message, after the server's yes to DATA, with its final dot."""
        self._begin(self._timeouts.transfer)
        self.send(_dotted(content))
        with self._cutting:
            self._raise_if_cut()
            self._is_handed_over = True
        self.send(b".\r\n")

    def answer(self) -> Reply:
        """The reply to the message."""
        self._begin(self._timeouts.end)
        reply = self._reply(*self.getreply())
        self._is_handed_over = False
        return reply

    def end(self, *, politely: bool) -> None:
        """Closes the connection, `politely` after a QUIT."""
        with suppress(OSError):
            if politely:
                self._begin(QUIT_SECONDS)
                self.docmd("QUIT")
        with suppress(OSError):
            self.close()

    def send(self, s: object) -> None:
        """Writes within the time limit.  Called by smtplib, too."""
        data = s.encode(self.command_encoding) if isinstance(s, str) else s
        assert isinstance(data, bytes)
        view = memoryview(data)
        for start in range(0, len(view), CHUNK):
            self._connected.settimeout(min(self._left(), self._timeouts.block))
            self._connected.sendall(view[start : start + CHUNK])

    def getreply(self) -> tuple[int, bytes]:
        """One reply within the time limit.  Called by smtplib, too."""
        texts, left = [], MAX_REPLY
        while True:
            line = self._read_line(left)
            left -= len(line)
            found = REPLY_LINE.fullmatch(line.rstrip(b"\r\n"))
            if not found:
                raise LineError("the server's answer is not SMTP")
            texts.append(found["text"].strip())
            if not found["more"]:
                return int(found["code"]), b"\n".join(texts)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002  smtplib's own limit
        self._begin(self._timeouts.connect)
        sock = self._reach(host, port)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # the final dot is a packet of its own
            if self._context:
                sock = self._handshake(sock, self._context)
        except BaseException:
            sock.close()
            raise
        self._begin(self._timeouts.command)  # for the greeting
        return sock

    def _reach(self, host: str, port: int) -> socket.socket:
        """A connection to one of the host's addresses; one that does not answer may not use up the others' time."""
        if not host.isprintable():  # up to a NUL it may be one
            raise ValueError("a control character in a host name")
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for number, (family, kind, protocol, _, address) in enumerate(addresses):
            with ExitStack() as stack:
                try:
                    sock = stack.enter_context(socket.socket(family, kind, protocol))
                    sock.settimeout(self._left() / (len(addresses) - number))
                    sock.connect(address)
                except OSError:
                    if number == len(addresses) - 1:
                        raise
                else:
                    stack.pop_all()  # it stays open
                    return sock
        raise LineError("the host has no address")

    def _handshake(self, sock: socket.socket, context: ssl.SSLContext) -> ssl.SSLSocket:
        self._begin(self._timeouts.connect)
        sock.settimeout(self._left())
        return context.wrap_socket(sock, server_hostname=self._server[0])  # which closes it where it fails

    def _own_name(self) -> str:
        """A host name, or an address literal where we have none (RFC 5321 §4.1.4)."""
        address = self._connected.getsockname()[0]
        return _host_name() or f"[{'IPv6:' if ':' in address else ''}{address.partition('%')[0]}]"

    @property
    def _connected(self) -> socket.socket:
        if self.sock is None:
            raise LineError("not connected")
        return self.sock

    def _begin(self, seconds: float) -> None:
        """Begins a step that may take so long."""
        self._raise_if_cut()
        self._no_early_words()
        self._ends = time.monotonic() + seconds

    def _raise_if_cut(self) -> None:
        """Not while the reply to a message is waited for."""
        if self._is_cut and not self._is_handed_over:
            raise LineError("the connection was cut")

    def _left(self) -> float:
        """Seconds that are left of the step."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _no_early_words(self) -> None:
        """An answer to nothing would be taken for that to the next command, and all that follow for those before."""
        if self._buffer:
            raise LineError("the server speaks out of turn")

    def _read_line(self, limit: int) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0 and len(self._buffer) <= limit:
            self._connected.settimeout(self._left())
            data = self._connected.recv(CHUNK)
            if not data:
                raise LineError("the connection was closed")
            self._buffer += data
        if not 0 <= end < limit:
            raise LineError("the server's answer is too long")
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        return line

    def _reply(self, code: int, text: bytes) -> Reply:
        return from_server(code, text, self.secrets)


def wire_form(raw: bytes) -> bytes:
    """A message as SMTP wants it: each line, the last one too, ends with CR LF, and neither stands alone."""
    if raw.endswith(b"\r\n") and raw.count(b"\r\n") == raw.count(b"\n") == raw.count(b"\r"):
        return raw  # as it is composed; of a large one each copy counts
    content = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    return content if content.endswith(b"\r\n") or not content else content + b"\r\n"


def _dotted(content: bytes) -> bytes:
    """A line that begins with a dot gets another one in front (RFC 5321 §4.5.2)."""
    dotted = content.replace(b"\r\n.", b"\r\n..")
    return b"." + dotted if dotted.startswith(b".") else dotted


@cache
def _host_name() -> str | None:
    """The full name of this host; asked for once, a name server may be slow."""
    name = socket.getfqdn()
    return name if "." in name and name.isascii() and name.isprintable() else None
