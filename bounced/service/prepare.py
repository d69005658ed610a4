"""Claimed deliveries with all that an attempt needs, grouped by the way they go: server and login.

Cards are read anew for each batch: what was queued before a card was mended goes out with the mended one.
"""

from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from bounced import log as logs
from bounced.config import Config
from bounced.errors import BouncedError
from bounced.keys import Keyring
from bounced.send import cards, compose, recipients, tokens
from bounced.send.record import Subject
from bounced.send.sender import SenderConfig
from bounced.send.settings import check_mass_mail, uses_verp
from bounced.send.smtp import Route, Session
from bounced.service.deliver import Job, queue_again
from bounced.service.login import Account
from bounced.store import people, sender_configs
from bounced.store.deliveries import Claimed
from bounced.store.people import Credential, MailSender

log = logs.get(__name__)


@dataclass(slots=True)
class Way:
    """Deliveries that share connections."""

    route: Route
    account: Account | None  # None: it needs no login
    workers: int = 0
    answers: bool = False  # there was a connection
    works: bool = False  # a server has answered a message
    sessions: set[Session] = field(default_factory=set)  # of the workers that have or make a connection
    jobs: deque[Job] = field(default_factory=deque)
    configs: set[int] = field(default_factory=set)  # rows of their sender configs


@dataclass(frozen=True, slots=True)
class _Sender:
    """What one user's mail goes out with at present."""

    config: SenderConfig
    row: int
    company: people.Company
    address: str  # where bounces go
    origin: bytes
    route: Route
    account: Account | None


class Preparation:
    """Of one batch, within the transaction that claimed it."""

    def __init__(self, connection: Connection, config: Config, keyring: Keyring, owner: str) -> None:
        self._connection, self._config, self._keyring, self._owner = connection, config, keyring, owner
        self._senders: dict[int, _Sender] = {}  # by user

    def ways(self, claimed: Iterable[Claimed]) -> list[Way]:
        """The deliveries that can be tried; what cannot be goes back into the queue with the reason."""
        ways: dict[tuple[Route, Account | None], Way] = {}
        told = set()  # a thousand messages may have one reason
        for one in claimed:
            try:
                sender = self._sender(one.message.user_id, one.message.company_id)
                job = self._job(one, sender)
            except BouncedError as error:
                if str(error) not in told:
                    log.warning("messages not prepared", outbound=str(one.message.id), error=str(error))
                told.add(str(error))
                self._put_back(one, str(error))
                continue
            except SQLAlchemyError:  # the transaction is of no more use
                raise
            except Exception as bug:
                log.exception("message not prepared", outbound=str(one.message.id))  # must not stop the others
                self._put_back(one, f"unexpected {type(bug).__name__}")
                continue
            if sender.row != one.message.sender_config_id:
                sender_configs.use_sender_config(
                    self._connection, one.message.sender_config_id, one.message.user_id, sender.row, datetime.now(UTC)
                )
            key = (sender.route, sender.account)
            way = ways.setdefault(key, Way(*key))
            way.jobs.append(job)
            way.configs.add(sender.row)
        return list(ways.values())

    def _put_back(self, one: Claimed, last: str) -> None:
        """Into the queue, or given up: of what could not be prepared only what it was queued with is known."""
        message = one.message
        about = Subject(
            message=message,
            company=people.company_by_id(self._connection, message.company_id).name,
            user=people.user_by_id(self._connection, message.user_id).code,
            snapshot=sender_configs.sender_snapshot(self._connection, message.sender_config_id),
        )
        now, retry_for = datetime.now(UTC), self._config.send.retry_for
        queue_again(self._connection, self._owner, one, about, one.recipients, now, retry_for, last=last)

    def _sender(self, user_id: int, company_id: int) -> _Sender:
        if user_id not in self._senders:
            company, config = _present(self._connection, self._config, user_id, company_id)
            row = sender_configs.keep_sender_config(self._connection, company_id, config.snapshot())
            route, account = route_of(self._connection, self._config, config, company_id)
            address = recipients.envelope_address(config.envelope_sender)
            origin = compose.origin(compose.identity_of(config))
            self._senders[user_id] = _Sender(config, row, company, address, origin, route, account)
        return self._senders[user_id]

    def _job(self, one: Claimed, sender: _Sender) -> Job:
        message = one.message
        if message.mass:  # the card, or the company's modules, may have changed
            check_mass_mail(sender.config, self._config.directo, has_module=sender.company.mass_mail)
        token = tokens.sign(self._keyring, sender.company.name, one.id)
        about = Subject(
            message=message, company=sender.company.name, user=sender.config.user, snapshot=sender.config.snapshot()
        )
        return Job(
            claimed=one,
            sender_config_id=sender.row,
            recipients={who.address: who for who in one.recipients},
            about=about,
            sender=self._envelope_sender(sender, token),
            envid=token,
            origin=sender.origin,
        )

    def _envelope_sender(self, sender: _Sender, token: str) -> str:
        """The plain one, or with VERP the one that tells this delivery, where a local part has room for it."""
        local, _, domain = sender.address.rpartition("@")
        if uses_verp(sender.config, self._config.directo) and len(local) + 1 + len(token) <= recipients.MAX_LOCAL:
            return f"{local}+{token}@{domain}"
        return sender.address


def mended(connection: Connection, config: Config, sender_config_ids: Iterable[int]) -> list[tuple[int, int, int]]:
    """Whose messages wait for sender configs that are not theirs any more: (sender config, user, company)."""
    changed = []
    for row, user_id, company_id in sender_configs.waiting_users(connection, sender_config_ids):
        with suppress(BouncedError):  # what is wrong with the card is told when its messages are prepared
            _, present = _present(connection, config, user_id, company_id)
            if present.snapshot() != sender_configs.sender_snapshot(connection, row):
                changed.append((row, user_id, company_id))
    return changed


def use_mended(connection: Connection, config: Config, changed: Iterable[tuple[int, int, int]], now: datetime) -> None:
    """Have what `mended` found go out as it would if it were handed over now, at once."""
    for row, user_id, company_id in changed:
        _, present = _present(connection, config, user_id, company_id)
        after = sender_configs.keep_sender_config(connection, company_id, present.snapshot())
        sender_configs.use_sender_config(connection, row, user_id, after, now)


def _present(
    connection: Connection, config: Config, user_id: int, company_id: int
) -> tuple[people.Company, SenderConfig]:
    """What a user's mail goes out with at present."""
    company = people.company_by_id(connection, company_id)
    return company, cards.sender_config(connection, company, people.user_by_id(connection, user_id), config)


def route_of(
    connection: Connection, config: Config, sender: SenderConfig, company_id: int
) -> tuple[Route, Account | None]:
    """Where and how a sender config connects, and whose login it needs.

    raises   InputError: the login is gone
    """
    account = None
    if sender.login is not None:
        user_id = cards.owner_of_login(connection, company_id, sender)
        which = Credential.TOKEN if sender.mode is MailSender.MICROSOFT365 else Credential.PASSWORD
        account = Account(user_id, sender.login.username, which, sender.login.credential)
    route = Route(
        host=sender.server.host,
        port=sender.server.port,
        tls=sender.tls,
        allow_plaintext_login=config.send.allow_plaintext_login,
        ca_file=config.send.ca_file,
    )
    return route, account
