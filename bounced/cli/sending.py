"""bounced send, outbox, suppressions: mail that goes out, and whom it does not go to any more."""

import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bounced.cli.context import company_named, configuration, database
from bounced.cli.output import Format, FormatOption, lines, plain, write
from bounced.errors import InputError

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Connection

    from bounced.send import Attachment
    from bounced.store.history import Waiting
    from bounced.store.suppressions import Suppression

OUTBOX_KEYS = ("delivery", "state", "company", "user", "document", "recipients", "due_at", "tries", "last_error")
SUPPRESSION_KEYS = ("company", "address", "cause", "event_id", "created_at")

outbox = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="List, release and drop messages to be sent.")
suppressions = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="List, add and remove addresses that are not written to."
)

CompanyOption = Annotated[str, typer.Option("--company", help="The company.")]
SomeCompany = Annotated[str | None, typer.Option("--company", help="Only this company's.")]
Number = Annotated[int, typer.Argument(metavar="DELIVERY", help="Its number in `bounced outbox list`.")]
Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="An e-mail address.")]


def send(
    context: typer.Context,
    company: CompanyOption,
    user: Annotated[str, typer.Option(help="Code of the user whose message it is.")],
    subject: Annotated[str, typer.Option(help="Subject.")],
    to: Annotated[list[str] | None, typer.Option(help="Recipient; may be repeated, as --cc and --bcc may.")] = None,
    cc: Annotated[list[str] | None, typer.Option(help="Recipient of a copy.")] = None,
    bcc: Annotated[list[str] | None, typer.Option(help="Recipient whom the others do not see.")] = None,
    text: Annotated[str | None, typer.Option(help='The text; "-" reads it, in UTF-8, from standard input.')] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="The same as HTML, in UTF-8.")] = None,
    attach: Annotated[list[Path] | None, typer.Option(metavar="FILE", help="A file to go along.")] = None,
    document: Annotated[str | None, typer.Option(help='What it is about: "Invoice 1042".')] = None,
    mass: Annotated[bool, typer.Option("--mass", help="One of many: invoices in bulk, customer letters.")] = False,
    now: Annotated[bool, typer.Option("--now", help="Send it at once instead of leaving it to the daemon.")] = False,
) -> None:
    """Hand one message to the outbox; prints its id."""
    from bounced.keys import Keyring
    from bounced.send import Letter, submit
    from bounced.store.engine import Store

    config = configuration(context)
    keyring = Keyring.open(config)
    letter = Letter(
        subject=subject,
        to=tuple(to or ()),
        cc=tuple(cc or ()),
        bcc=tuple(bcc or ()),
        text=_text("standard input", sys.stdin.buffer.read()) if text == "-" else text,
        html=_text(str(html), _read(html)) if html else None,
        attachments=tuple(map(_attachment, attach or ())),
    )
    with Store.open(config.database.url) as store:
        with store.writing() as connection:
            sent = submit(connection, config, letter, company=company, user=user, document=document, mass=mass)
        typer.echo(sent.outbound_id)
        for address in sent.left_out:
            typer.echo(f"bounced: {plain(address)} is on the suppression list, and was left out", err=True)
        if now:
            from bounced.service.outbox import Outbox

            Outbox(store, threading.Event()).drain(config, keyring)
            with store.reading() as connection:
                _tell(connection, sent.outbound_id)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _text(where: str, content: bytes) -> str:
    """What customers are to read: better not sent than with letters lost."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{plain(where)}: it is not text in UTF-8") from None


def _attachment(path: Path) -> "Attachment":
    from bounced.send import Attachment

    return Attachment(name=path.name, content=_read(path))


def _tell(connection: "Connection", outbound_id: "UUID") -> None:
    """What became of each recipient of a message."""
    from bounced.store import history

    lines(
        f"{one.address}: {one.state}{f': {one.reply}' if one.reply else ''}"
        for one in history.fate(connection, outbound_id)
    )


@outbox.command("list")
def list_outbox(
    context: typer.Context,
    company: SomeCompany = None,
    format: FormatOption = Format.TABLE,  # noqa: A002
) -> None:
    """List what is not done: queued, being sent, and what nobody knows whether it was sent."""
    from bounced.model import iso
    from bounced.store import history

    def shown(one: "Waiting") -> Mapping[str, object]:
        return {key: getattr(one, key) for key in OUTBOX_KEYS} | {"due_at": iso(one.due_at)}

    with database(context) as store, store.reading() as connection:
        rows = history.waiting(connection, _company_id(connection, company))
        write(map(shown, rows), format, columns=OUTBOX_KEYS, keys=OUTBOX_KEYS)


@outbox.command("release")
def release(context: typer.Context, delivery: Number) -> None:
    """Send an uncertain message again; who got it already gets it twice."""
    _decide(context, delivery, release=True)


@outbox.command("drop")
def drop(context: typer.Context, delivery: Number) -> None:
    """Take a queued or uncertain message out of the outbox; it is not sent."""
    _decide(context, delivery, release=False)


def _decide(context: typer.Context, delivery: int, *, release: bool) -> None:
    from datetime import UTC, datetime

    from bounced.store import deliveries

    with database(context) as store, store.writing() as connection:
        if not deliveries.decide(connection, delivery, datetime.now(UTC), release=release):
            raise InputError(f"there is no {'uncertain' if release else 'queued or uncertain'} delivery {delivery}")
    typer.echo("queued again" if release else "dropped")


@suppressions.command("list")
def list_suppressions(
    context: typer.Context,
    company: SomeCompany = None,
    format: FormatOption = Format.TABLE,  # noqa: A002
) -> None:
    """List the addresses that are not written to, newest first."""
    from bounced.model import iso
    from bounced.store import suppressions as stored

    def shown(one: "Suppression") -> Mapping[str, object]:
        event_id = str(one.event_id) if one.event_id else None
        return {key: getattr(one, key) for key in SUPPRESSION_KEYS} | {
            "created_at": iso(one.created_at),
            "event_id": event_id,
        }

    with database(context) as store, store.reading() as connection:
        rows = stored.listed(connection, _company_id(connection, company))
        write(map(shown, rows), format, columns=SUPPRESSION_KEYS, keys=SUPPRESSION_KEYS)


@suppressions.command("add")
def add_suppression(context: typer.Context, address: Address, company: CompanyOption) -> None:
    """Write to an address no more."""
    from datetime import UTC, datetime

    from bounced.store import people
    from bounced.store import suppressions as stored

    wanted = _envelope_address(address)
    with database(context) as store, store.writing() as connection:
        company_id = company_named(connection, company)
        if not stored.add(connection, company_id, wanted, datetime.now(UTC)):
            raise InputError(f"{plain(wanted)} is on the list of {plain(company)} already")
        is_heeded = people.company_by_id(connection, company_id).suppress
    if not is_heeded:
        name = plain(company)
        typer.echo(
            f"bounced: the list of {name} is switched off: switch it on with `bounced companies set {name} --suppress`",
            err=True,
        )


@suppressions.command("remove")
def remove_suppression(context: typer.Context, address: Address, company: CompanyOption) -> None:
    """Write to an address again."""
    from bounced.store import suppressions as stored

    wanted = _envelope_address(address)
    with database(context) as store, store.writing() as connection:
        if not stored.remove(connection, company_named(connection, company), wanted):
            raise InputError(f"{plain(wanted)} is not on the list of {plain(company)}")


def _envelope_address(written: str) -> str:
    """An address as the list has it."""
    from bounced.send import recipients

    try:
        return recipients.envelope_address(written)
    except InputError as error:
        raise InputError(f"{plain(written)}: {error}") from None


def _company_id(connection: "Connection", name: str | None) -> int | None:
    return None if name is None else company_named(connection, name)
