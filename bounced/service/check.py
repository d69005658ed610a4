"""Tests what the service needs before it needs it: the database, and each mailbox's login, folder and action."""

from collections.abc import Iterator
from dataclasses import dataclass

from bounced.config import Config, Mailbox
from bounced.errors import BouncedError
from bounced.inbox.imap import Session
from bounced.service.poll import nobody, owner_of
from bounced.store.engine import Store


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing that was tested."""

    what: str
    error: str | None  # None: it works
    detail: str = ""


def check(config: Config) -> Iterator[Verdict]:
    """Tests one thing after the other; nothing is changed, in the mailboxes least of all."""
    yield from _database(config)
    yield from _keys(config)
    if not config.mailbox:
        yield Verdict("mailboxes", "no mailbox is configured: add a [[mailbox]] to bounced.toml")
    for box in config.mailbox:
        yield _mailbox(box, config.poll.max_message_size)


def _database(config: Config) -> Iterator[Verdict]:
    """The database, and the users in it that mailboxes belong to."""
    try:
        with Store.open(config.database.url) as store, store.reading() as connection:
            ownerless = [box for box in config.mailbox if box.user is not None and not owner_of(connection, box)]
    except BouncedError as error:
        yield Verdict("database", str(error))
        return
    yield Verdict("database", None)
    for box in ownerless:
        yield Verdict(f"mailbox {box.name}", nobody(box))


def _keys(config: Config) -> Iterator[Verdict]:
    for secret in config.secrets.keys:
        try:
            secret.read()
        except BouncedError as error:
            yield Verdict("key", str(error))


def _mailbox(box: Mailbox, max_message_size: int) -> Verdict:
    what = f"mailbox {box.name}"
    try:
        for secret in box.secrets():  # also where the server cannot be reached: the service would not start without
            secret.read()
        with Session(box, max_message_size=max_message_size) as session:
            folder = session.select()
            session.check_action()
    except BouncedError as error:
        return Verdict(what, str(error))
    return Verdict(what, None, f"{folder.exists} messages in {box.folder}, after storing: {box.after}")
