"""Tests what the service needs before it needs it.

The database, each mailbox's login, folder and action, and each login that users' mail is sent with.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection

from bounced.config import Config, Mailbox
from bounced.errors import BouncedError, ConfigError, StoreError
from bounced.inbox.imap import Session
from bounced.keys import Keyring
from bounced.send import cards
from bounced.send.reply import printable
from bounced.send.smtp import Route
from bounced.service.login import Account
from bounced.service.poll import nobody, owner_of
from bounced.service.preflight import connect
from bounced.service.prepare import route_of
from bounced.store import people
from bounced.store.engine import Store

SHOWN = 3
"""Users named where many share a login."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing that was tested."""

    what: str
    error: str | None  # None: it works
    detail: str = ""


Login = tuple[Route, Account]
"""What users log in with."""


def check(config: Config) -> Iterator[Verdict]:
    """Tests one thing after the other; nothing is changed, in the mailboxes least of all."""
    yield from _database(config)
    yield from _keys(config)
    if not config.mailbox:
        yield Verdict("mailboxes", "no mailbox is configured: add a [[mailbox]] to bounced.toml")
    for box in config.mailbox:
        yield _mailbox(box, config.poll.max_message_size)
    yield from _logins(config)


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
    """What the service would not start without."""
    unreadable = False
    for secret in (*config.secrets.keys, *filter(None, [config.microsoft365.client_secret])):
        try:
            secret.read()
        except BouncedError as error:
            unreadable = True
            yield Verdict("key", str(error))
    if config.secrets.keys and not unreadable:
        try:
            Keyring.open(config)
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


def _logins(config: Config) -> Iterator[Verdict]:
    """Each login of the users on file once, whoever shares it; what is wrong on several cards for one reason, too."""
    try:
        with Store.open(config.database.url) as store:
            with store.reading() as connection:
                logins, errors = _found(connection, config)
            for error, users in errors.items():
                yield Verdict("SMTP login", f"{error} (for {_named(users)})")
            if logins:
                keyring = Keyring.open(config)
            for login, users in logins.items():
                yield _login(store, config, keyring, login, users)
    except ConfigError as error:
        yield Verdict("SMTP login", str(error))
    except StoreError:
        return  # the database's own line says it


def _login(store: Store, config: Config, keyring: Keyring, login: Login, users: list[str]) -> Verdict:
    route, account = login
    what = f"SMTP login {printable(account.username)} at {route.host}:{route.port}"
    try:
        connect(route, account, store, config, keyring)
    except BouncedError as error:
        return Verdict(what, f"SMTP login of {_named(users)}: {error}")
    return Verdict(what, None, f"for {_named(users)}")


def _found(connection: Connection, config: Config) -> tuple[dict[Login, list[str]], dict[str, list[str]]]:
    """The users of each login, and those of each error; who has no address sends nothing."""
    logins: dict[Login, list[str]] = {}
    errors: dict[str, list[str]] = {}
    companies = {company.id: company for company in people.companies(connection)}
    for user in people.users(connection):
        name = f"{user.company}/{user.code}"
        try:
            if user.email is None:
                continue
            sender = cards.sender_config(connection, companies[user.company_id], user, config)
            route, account = route_of(connection, config, sender, user.company_id)
        except BouncedError as error:
            errors.setdefault(str(error), []).append(name)
        else:
            if account is not None:
                logins.setdefault((route, account), []).append(name)
    return logins, errors


def _named(users: list[str]) -> str:
    more = len(users) - SHOWN
    return printable(", ".join(users[:SHOWN])) + (f" and {more} more" if more > 0 else "")
