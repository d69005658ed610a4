"""bounced events: what support reads.  A list to search, and one event in words."""

import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import UUID

import typer

from bounced.cli import moments, story
from bounced.cli.context import configuration, database
from bounced.cli.output import Format, lines, plain, write
from bounced.cli.words import language, word
from bounced.errors import InputError

if TYPE_CHECKING:
    from bounced.config import Directo
    from bounced.model import Event

COLUMNS = ("id", "received_at", "kind", "cause", "recipient", "status", "company", "user", "diagnostic")
Choice = TypeVar("Choice", bound=StrEnum)

SHOWN = 100  # events of a table when no limit is given
MOST = 2**31 - 1

app = typer.Typer(rich_markup_mode=None, invoke_without_command=True)


@app.callback()
def events(
    context: typer.Context,
    company: Annotated[str | None, typer.Option(help="Only this company's.")] = None,
    user: Annotated[str | None, typer.Option(help="Only this user's: the code on the card.")] = None,
    recipient: Annotated[str | None, typer.Option(help="Only about this address.")] = None,
    domain: Annotated[str | None, typer.Option(help="Only about recipients at this domain.")] = None,
    cause: Annotated[str | None, typer.Option(help="Only this cause (see `bounced causes`).")] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind: bounce, delay, complaint, ...")] = None,
    document: Annotated[str | None, typer.Option(help="Only about this document.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(parser=moments.since, metavar="TIME", help="Received on this day (2026-11-23, UTC) or later."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(parser=moments.until, metavar="TIME", help="Received up to and with this day (UTC)."),
    ] = None,
    text: Annotated[str | None, typer.Option(help="Somewhere in subject, diagnostic or recipient.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=MOST, help=f"At most so many; a table shows {SHOWN}.")] = None,
    format: Annotated[Format, typer.Option(help="How events are written.")] = Format.TABLE,  # noqa: A002
) -> None:
    """List stored events, newest first."""
    if context.invoked_subcommand:
        return
    from bounced.model import KEYS, as_json
    from bounced.store import events as stored
    from parsers.causes.cause import Cause
    from parsers.report import Kind

    wanted = stored.EventFilter(
        company=company,
        user=user,
        recipient=recipient,
        domain=domain,
        cause=_one_of(Cause, cause, "--cause"),
        kind=_one_of(Kind, kind, "--kind"),
        document=document,
        since=since,
        until=until,
        text=text,
        limit=limit or (SHOWN if format is Format.TABLE else None),
    )
    with (
        database(context) as store,
        store.reading() as connection,
        closing(stored.find(connection, wanted)) as found,  # or its cursor outlives the connection when writing fails
    ):
        write(map(as_json, found), format, columns=COLUMNS, keys=KEYS)


def _one_of(choices: type[Choice], value: str | None, option: str) -> Choice | None:
    if value is None:
        return None
    try:
        return choices(value)
    except ValueError:
        raise typer.BadParameter(f"expected one of {', '.join(choices)}", param_hint=option) from None


@app.command()
def show(
    context: typer.Context,
    event_id: Annotated[str, typer.Argument(metavar="ID", help="The id of an event, from `bounced events`.")],
    raw: Annotated[bool, typer.Option("--raw", help="Print the original message instead.")] = False,
) -> None:
    """Tell one event in words: what happened, why, who must act, what to do."""
    from bounced.store import events as stored

    try:
        wanted = UUID(event_id)
    except ValueError:
        raise typer.BadParameter(f"{plain(event_id)} is no event id", param_hint="ID") from None
    with database(context) as store, store.reading() as connection:
        event = stored.get(connection, wanted)
        if event is None:
            raise InputError(f"there is no event {wanted}")
        if raw:
            _print_raw(stored.raw(connection, wanted))
            return
        message, written_to = event.match.outbound_id, story.written_to(connection, event)
        way = story.timeline(connection, message, written_to) if message else []
    lines(_told(event, configuration(context).directo, written_to, way))


def _print_raw(message: bytes | None) -> None:
    """The message as it came; on a terminal without what could steer it."""
    if message is None:
        raise InputError("the original message is not kept any more")
    if sys.stdout.isatty():
        lines(message.decode("utf-8", "replace").splitlines())
    else:
        sys.stdout.buffer.write(message)


def _told(
    event: "Event", directo: "Directo", written_to: str | None, way: "list[tuple[datetime, str]]"
) -> Iterator[str]:
    from bounced.model import iso
    from parsers.causes import texts

    report, match, evidence = event.report, event.match, event.report.evidence

    def facts(*pairs: tuple[str, object]) -> Iterator[str]:
        for name, value in pairs:
            if value not in (None, ""):
                yield f"{word(name) + ':':<15} {plain(value)}"

    yield f"{report.kind.value} {event.id}"
    yield ""
    if said := story.sentence(event, written_to):
        yield f"{said}."
        yield ""
    recipient, named = written_to or report.recipient, report.final_recipient or report.recipient
    other = named if named and named.lower() != (recipient or "").lower() else None
    yield from facts(
        ("Recipient", recipient),
        ("Answered by" if report.kind.value == "auto-reply" else "Forwarded to", other),
        ("Subject", evidence.original_subject or evidence.subject),
        ("Document", match.document),
        ("Company", match.company),
        ("User", match.user),
        ("Mail sender", match.mode),
        ("Matched by", f"reply-to ({word('inferred')})" if match.matched_by == "reply-to" else match.matched_by),
        ("Forged", word("yes: the token does not verify") if match.forged else None),
    )
    if report.cause:
        told = texts.describe(
            report.cause,
            language(),
            rule=report.rule,
            text=report.diagnostic,
            relay_address=directo.relay_address,
            event_domain=directo.event_domain,
        )
        yield ""
        yield from facts(
            ("Cause", f"{told.title} ({report.cause.value})"),
            ("What happened", told.explanation),
            ("Who must act", told.who_name),
            ("What to do", told.remedy),
            ("Write again", word("no, not to this address") if report.permanent and not other else None),
        )
    if match.sender_config:
        yield ""
        yield f"{word('Sends with now' if match.matched_by == 'reply-to' else 'Sent with')}:"
        yield from facts(*story.settings(match.sender_config))
    if way:
        yield ""
        yield f"{word('Timeline')}:"
        yield from (f"{iso(at)}  {what}" for at, what in way)
    yield ""
    yield from facts(
        ("Server's words", report.diagnostic),
        ("Status", report.status),
        ("Reply code", report.smtp_code),
        ("Remote server", report.remote_mta),
        ("Reported by", report.reporting_mta),
        ("Notice of", iso(evidence.date)),
        ("Received", iso(event.received_at)),
        ("Mailbox", event.mailbox),
        ("Source", event.source),
        ("Notice's id", evidence.message_id),
        ("Message-ID", evidence.original_message_id),
        ("Envelope id", evidence.envelope_id),
        ("Rule", report.rule),
        ("Ids tried", ", ".join(match.tried_ids)),
        ("Truncated", word("yes: not all of the message was read") if event.truncated else None),
    )
