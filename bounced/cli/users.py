"""bounced users: whose mail it is, how it leaves, and whether it will pass."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bounced.cli.context import company_named, configuration, database
from bounced.cli.output import Format, FormatOption, lines, plain, write
from bounced.errors import InputError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bounced.config import Config
    from bounced.send.sender import SenderConfig
    from bounced.store.people import User

USER_KEYS = ("company", "code", "name", "email", "mail_sender", "smtp_server", "smtp_tls", "smtp_username")

users = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="List, show, check, add, set and import users, and log them in."
)

CompanyOption = Annotated[str, typer.Option("--company", help="The company.")]
NameOption = Annotated[str | None, typer.Option("--name", help="Display name.")]
EmailOption = Annotated[str | None, typer.Option("--email", help="E-mail address.")]
SenderOption = Annotated[
    Literal["directo", "smtp", "directo-reply-to", "microsoft365", ""] | None,
    typer.Option("--mail-sender", help="How mail leaves; empty for not set."),
]
ServerOption = Annotated[
    str | None,
    typer.Option("--smtp-server", metavar="HOST:PORT", help="For smtp; or one of gmail, office365, zone."),
]
PasswordOption = Annotated[
    str | None,
    typer.Option(
        "--password",
        metavar="WHERE",
        help='Where the password is: env:NAME, file:PATH or "-" for standard input; empty takes it off.',
    ),
]
TlsOption = Annotated[Literal["ssl", "starttls", "none", ""] | None, typer.Option("--smtp-tls", help="For smtp.")]
UsernameOption = Annotated[str | None, typer.Option("--smtp-username", help="For smtp.")]


@users.command("list")
def list_users(
    context: typer.Context,
    company: Annotated[str | None, typer.Option(help="Only this company's.")] = None,
    format: FormatOption = Format.TABLE,  # noqa: A002
) -> None:
    """List the users."""
    from bounced.store import people

    with database(context) as store, store.reading() as connection:
        company_id = company_named(connection, company) if company is not None else None
        found = people.users(connection, company_id=company_id)
    write(map(asdict, found), format, columns=USER_KEYS, keys=USER_KEYS)


@users.command("show")
def show_user(
    context: typer.Context,
    code: str,
    company: Annotated[str | None, typer.Option(help="Needed when several companies have such a user.")] = None,
) -> None:
    """Show one user's card, what mail goes out with, and where each of it comes from."""
    from bounced.errors import BouncedError
    from bounced.send import cards
    from bounced.store import people

    config = configuration(context)
    with database(context) as store, store.reading() as connection:
        user = _user(connection, code, company)
        owner = people.company_by_id(connection, user.company_id)
        try:
            sender = cards.sender_config(connection, owner, user, config)
        except BouncedError as error:
            sender, wrong = None, str(error)
    card = asdict(user)
    lines(f"{key.replace('_', ' ') + ':':<16}{card[key] or '-'}" for key in USER_KEYS)
    lines(
        (
            f"{'password:':<16}{'set' if user.password_version else '-'}",
            f"{'Microsoft 365:':<16}{'logged in' if user.token_version else '-'}",
            "",
        )
    )
    lines(_sender_lines(sender, config) if sender else [f"mail cannot be sent: {wrong}"])


@users.command("check")
def check_user(
    context: typer.Context,
    code: str,
    company: Annotated[str | None, typer.Option(help="Needed when several companies have such a user.")] = None,
) -> None:
    """Say whether a user's mail will pass: the login, SPF, DMARC, and what to change; exit 1 if anything is wrong.

    Connects to the server; nothing is sent.
    """
    from bounced.keys import Keyring
    from bounced.send import cards
    from bounced.service.preflight import connect
    from bounced.service.prepare import route_of
    from bounced.store import people

    config = configuration(context)
    keyring = Keyring.open(config)
    with database(context) as store:
        with store.reading() as connection:
            user = _user(connection, code, company)
            sender = cards.sender_config(connection, people.company_by_id(connection, user.company_id), user, config)
            route, account = route_of(connection, config, sender, user.company_id)
        _check(sender, lambda: connect(route, account, store, config, keyring), config)


def _check(sender: "SenderConfig", log_in: Callable[[], None], config: "Config") -> None:
    from bounced.service.preflight import Level, preflight, verdict

    lines((f"mail is {sender.in_words()}", f"From: {sender.from_address}"))
    lines(f"warning: {warning}" for warning in sender.warnings)
    findings = []
    for finding in preflight(sender, log_in, config):
        findings.append(finding)
        word = {Level.OK: "ok", Level.WARNING: "warning", Level.WRONG: "WRONG"}[finding.level]
        lines((f"{word:<8}{finding.text}",))
        lines((f"{'':<8}to do: {finding.remedy}",) if finding.remedy else ())
    lines((verdict(findings),))
    if max(finding.level for finding in findings) is Level.WRONG:
        sys.exit(1)


def _sender_lines(sender: "SenderConfig", config: "Config") -> Iterator[str]:
    """The resolved sender config, each field with where it comes from."""
    login = sender.login
    yield f"mail is {sender.in_words()}"
    for name, value, origin in (
        ("mail sender", sender.mode, sender.mode_origin),
        ("server", sender.server, sender.server_origin),
        ("SSL/TLS", sender.tls or "STARTTLS where it is offered", sender.tls_origin),
        ("user name", login.username if login else "no login", login.origin if login else None),
    ):
        yield f"  {name + ':':<14}{value}{f'  ({origin})' if origin else ''}"
    yield f"  {'From:':<14}{sender.from_address}"
    if sender.reply_to:
        yield f"  {'Reply-To:':<14}{sender.reply_to}"
    yield f"  {'bounces go to:':<14} {_where_bounces_go(sender, config)}"
    yield from (f"warning: {warning}" for warning in sender.warnings)


def _where_bounces_go(sender: "SenderConfig", config: "Config") -> str:
    from bounced.store import people

    if sender.reply_to:
        return f"the company's event mailbox, {sender.envelope_sender}"
    owner = (sender.company, sender.user)
    polled = [box.name for box in config.mailbox if (people.company_key(box.company or ""), box.user) == owner]
    if polled:
        how = f"polled as {', '.join(polled)}"
    else:
        how = f"to poll it, add a [[mailbox]] with user = {json.dumps(sender.user, ensure_ascii=False)}"
    return f"the user's own mailbox, {sender.envelope_sender}: {how}"


def _put_user(*, known: bool) -> Callable[..., None]:
    """The command that adds a user, or changes one that is known."""

    def put(
        context: typer.Context,
        code: str,
        company: CompanyOption,
        name: NameOption = None,
        email: EmailOption = None,
        mail_sender: SenderOption = None,
        smtp_server: ServerOption = None,
        smtp_tls: TlsOption = None,
        smtp_username: UsernameOption = None,
        password: PasswordOption = None,
    ) -> None:
        from bounced.store import people

        values = (name, email, mail_sender, smtp_server, smtp_tls, smtp_username)
        given: Iterator[tuple[str, str | None]] = zip(USER_KEYS[2:], values, strict=True)
        card = {key: value for key, value in given if value is not None}  # "" stays, and takes the value off
        if known and not card and password is None:
            raise typer.BadParameter("nothing to set", param_hint="--name and the others")
        secret = _read_password(password) if password is not None else None
        with database(context) as store, store.writing() as connection:
            company_id = company_named(connection, company) if known else people.ensure_company(connection, company)
            if (people.find_user(connection, company_id, code) is not None) != known:
                what = "no user" if known else "a user already:"
                raise InputError(f"there is {what} {plain(code)} in company {plain(company)}")
            people.put_users(connection, company_id, [{"code": code} | card])
            if secret is not None:
                _keep_password(context, connection, company_id, code, secret)

    return put


def _read_password(where: str) -> str:
    """A password from the place that was named: on a command line everybody could read it.  "": take it off.

    A person may type it: never within a transaction.
    """
    from bounced.config import Secret

    if where == "-":
        secret = sys.stdin.readline().rstrip("\r\n")
        if not secret:
            raise InputError('--password: there is none on standard input; --password "" takes it off')
        if "\N{REPLACEMENT CHARACTER}" in secret:  # see bounced.cli
            raise InputError(f"--password: what is on standard input is not {sys.stdin.encoding} text")
        return secret
    if where and not where.startswith(("env:", "file:")):
        raise typer.BadParameter('expected env:NAME, file:PATH or "-"', param_hint="--password")
    return Secret(where, where="--password").read() if where else ""


def _keep_password(context: typer.Context, connection: "Connection", company_id: int, code: str, secret: str) -> None:
    from bounced.keys import Keyring
    from bounced.send import cards
    from bounced.store import people

    user = people.find_user(connection, company_id, code)
    assert user
    keyring = Keyring.open(configuration(context))
    cards.keep_secret(connection, keyring, user.id, people.Credential.PASSWORD, secret)


users.command("add", help="Add a user; the company is made known if it was not.")(_put_user(known=False))
users.command("set", help="Change a user's card: what is given is set, an empty value takes it off.")(
    _put_user(known=True)
)


@users.command("import")
def import_users(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", help=f"CSV or JSON with {', '.join(USER_KEYS)}.")],
) -> None:
    """Add or change users from a CSV or JSON file: all of them or, if one is wrong, none."""
    from bounced.service.tables import read_table
    from bounced.store import people

    rows = read_table(path, USER_KEYS, needed=("company", "code"))
    by_company: dict[str, list[dict[str, str | None]]] = {}
    for row in rows:
        by_company.setdefault(people.company_key(row.pop("company") or ""), []).append(row)
    with database(context) as store, store.writing() as connection:
        for company, cards in by_company.items():
            people.put_users(connection, people.ensure_company(connection, company), cards)
    typer.echo(f"{len(rows)} users")


@users.command("login")
def login(
    context: typer.Context,
    code: str,
    company: Annotated[str | None, typer.Option(help="Needed when several companies have such a user.")] = None,
    application: Annotated[
        bool, typer.Option("--application", help="Log the application in, by its own secret, instead of a person.")
    ] = False,
) -> None:
    """Log a user in to Microsoft 365; what keeps the login is put on the card, encrypted."""
    from bounced.keys import Keyring
    from bounced.send import cards
    from bounced.send.microsoft import Application
    from bounced.store.people import Credential

    config = configuration(context)
    keyring = Keyring.open(config)
    microsoft = Application(config.microsoft365, config.send.ca_file)
    with database(context) as store:
        with store.reading() as connection:
            user = _user(connection, code, company)
        if application:
            grant = microsoft.log_in()
        else:
            waiting = microsoft.start()
            lines([f"Open {waiting.url} in a browser, enter the code {waiting.code}, and log in as {user.code}."])
            grant = waiting.finish()
        with store.writing() as connection:
            cards.keep_secret(connection, keyring, user.id, Credential.TOKEN, grant.cache)
    lines([f"{user.code} is logged in to Microsoft 365{f' as {grant.account}' if grant.account else ''}"])


@users.command("rotate")
def rotate(context: typer.Context) -> None:
    """Encrypt the passwords and logins on all cards with the first of the keys: the others are not needed for them."""
    from bounced.keys import Keyring
    from bounced.send import cards

    keyring = Keyring.open(configuration(context))
    with database(context) as store, store.writing() as connection:
        renewed = cards.renew_secrets(connection, keyring)
    typer.echo(f"{renewed} passwords and logins")


def _user(connection: "Connection", code: str, company: str | None) -> "User":
    from bounced.store import people

    company_id = company_named(connection, company) if company is not None else None
    found = people.users(connection, company_id=company_id, code=code)
    if not found:
        raise InputError(f"there is no user {plain(code)}{f' in company {plain(company)}' if company else ''}")
    if len(found) > 1:
        raise InputError(f"several companies have a user {code}; name one: {', '.join(user.company for user in found)}")
    return found[0]
