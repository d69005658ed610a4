"""bounced mailboxes and status: how far each mailbox was read, and how it fares."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from bounced.cli.context import configuration
from bounced.cli.output import Format, write

if TYPE_CHECKING:
    from bounced.config import Config
    from bounced.store.mailboxes import Mailbox

STATUS = ("mailbox", "last_poll", "last_success", "lag_s", "backlog", "failures", "last_error")
LISTED = ("mailbox", "company", "user", "host", "folder", "after", "uidvalidity", "cursor", "polled_by", "last_error")


def status(
    context: typer.Context,
    format: Annotated[Format, typer.Option(help="How the rows are written.")] = Format.TABLE,  # noqa: A002
) -> None:
    """Show each mailbox's last poll, lag, backlog and last error, and in the table what waits in the outbox."""
    from bounced.model import iso

    config = configuration(context)
    now = datetime.now(UTC)
    rows = (
        {
            "mailbox": name,
            "last_poll": iso(row.last_poll_at) if row else None,
            "last_success": iso(row.last_success_at) if row else None,
            "lag_s": round((now - row.waiting_since).total_seconds()) if row and row.waiting_since else 0,
            "backlog": row.backlog if row else None,
            "failures": row.failures if row else None,
            "last_error": row.last_error if row else None,
        }
        for name, row in _rows(config)
    )
    write(rows, format, columns=STATUS, keys=STATUS)
    if format is Format.TABLE:
        typer.echo(f"\noutbox: {_outbox(config)}")


def _outbox(config: "Config") -> str:
    from bounced.store import history
    from bounced.store.engine import Store

    with Store.open(config.database.url) as store, store.reading() as connection:
        sizes = history.sizes(connection)
    return ", ".join(f"{count} {state}" for state, count in sizes.items()) or "empty"


def mailboxes(
    context: typer.Context,
    format: Annotated[Format, typer.Option(help="How the rows are written.")] = Format.TABLE,  # noqa: A002
) -> None:
    """List the mailboxes with their cursor and health; how they are reached is said in bounced.toml."""
    config = configuration(context)
    boxes = {box.name: box for box in config.mailbox}
    rows = (
        {
            "mailbox": name,
            "company": row.company if row else box and box.company,
            "user": box and box.user,
            "host": f"{box.host}:{box.port}" if box else "not configured any more",
            "folder": box and box.folder,
            "after": box and str(box.after),
            "uidvalidity": row and row.uidvalidity,
            "cursor": row and row.cursor,
            "polled_by": row and row.lease_owner,
            "last_error": row and row.last_error,
        }
        for name, row in _rows(config)
        for box in [boxes.get(name)]
    )
    write(rows, format, columns=LISTED, keys=LISTED)


def _rows(config: "Config") -> "Iterator[tuple[str, Mailbox | None]]":
    """Every mailbox that is configured or was once, by name."""
    from bounced.store.engine import Store
    from bounced.store.mailboxes import all_mailboxes

    with Store.open(config.database.url) as store, store.reading() as connection:
        known = {row.name: row for row in all_mailboxes(connection)}
    for name in sorted({*known, *(box.name for box in config.mailbox)}):
        yield name, known.get(name)
