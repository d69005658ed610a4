"""A scripted SMTP server: it refuses what it is told to refuse, and keeps what it takes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, Thread
from typing import AnyStr

from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass(frozen=True, slots=True)
class Received:
    """One message that was taken."""

    mail_from: str
    recipients: tuple[str, ...]
    raw: bytes


class Sink:
    """Takes every message but for what is scripted; the script may be changed at any time.

    A reply is a line such as "550 5.1.1 no such user"; several lines are parted by CR LF, each with its code.
    """

    def __init__(self) -> None:
        self.greeting: str | None = None  # instead of 220
        self.mail: dict[str, str] = {}  # envelope sender -> reply to MAIL
        self.rcpt: dict[str, str] = {}  # recipient -> reply to RCPT
        self.data: dict[str, str] = {}  # recipient -> reply after DATA, for the whole message
        self.silent: set[str] = set()  # recipients whose message is taken, and the connection closed without a reply
        self.hold: Callable[[], float] | None = None  # seconds between taking a message and the reply
        self.most: int | None = None  # connections at a time
        self.open = 0  # connections
        self.received: list[Received] = []
        self._arrived = Condition()
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(self._loop.create_server(self._connection, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def wait(self, count: int, *, seconds: float = 15) -> list[Received]:
        """All that was received, once it is at least `count` messages; TimeoutError after `seconds`."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.received) >= count, seconds):
                raise TimeoutError(f"received {len(self.received)} of {count} messages in {seconds:g} s")
            return list(self.received)

    def close(self) -> None:
        """Stop listening and drop every connection."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _connection(self) -> "_Connection":
        return _Connection(self, data_size_limit=None, enable_SMTPUTF8=True, hostname="sink.test", loop=self._loop)

    async def handle_MAIL(  # noqa: N802  aiosmtpd names it
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Called by aiosmtpd."""
        if reply := self.mail.get(address):
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802  aiosmtpd names it
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Called by aiosmtpd."""
        if reply := self.rcpt.get(address):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  aiosmtpd names it
        """Called by aiosmtpd."""
        for recipient in envelope.rcpt_tos:
            if reply := self.data.get(recipient):
                return reply
        message = Received(envelope.mail_from or "", tuple(envelope.rcpt_tos), envelope.original_content or b"")
        with self._arrived:
            self.received.append(message)
            self._arrived.notify_all()
        if self.hold:
            await asyncio.sleep(self.hold())
        if not self.silent.isdisjoint(envelope.rcpt_tos):
            server.transport.close()
        return "250 2.0.0 taken"


class _Connection(SMTP):
    """aiosmtpd's protocol with a greeting of our choice, and so many connections as are allowed."""

    _greeted = False

    async def push(self, status: AnyStr) -> None:
        greeting, self._greeted = None if self._greeted else self._greeting(), True
        await super().push(greeting or status)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        sink: Sink = self.event_handler
        self._too_many = sink.most is not None and sink.open >= sink.most  # of several at once the first one is not
        sink.open += not self._too_many
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.event_handler.open -= not self._too_many
        super().connection_lost(error)

    def _greeting(self) -> str | None:
        sink: Sink = self.event_handler
        if self._too_many:
            return "421 4.7.0 Too many connections"
        return sink.greeting
