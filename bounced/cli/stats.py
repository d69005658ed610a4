"""bounced stats: counts of events, which outlive the events themselves."""

import math
from datetime import date, datetime, timedelta
from typing import Annotated, Literal

import typer

from bounced.cli.context import database
from bounced.cli.moments import DAY
from bounced.cli.output import Format, write

BAR = 40  # columns of the longest bar


def stats(
    context: typer.Context,
    by: Annotated[
        Literal["cause", "domain", "user", "day"], typer.Option(help="What the counts are broken down by.")
    ] = "cause",
    company: Annotated[str | None, typer.Option(help="Only this company's.")] = None,
    since: Annotated[datetime | None, typer.Option(formats=[DAY], help="From this day (UTC) on.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=[DAY], help="Up to and with this day.")] = None,
    format: Annotated[Format, typer.Option(help="How the counts are written.")] = Format.TABLE,  # noqa: A002
) -> None:
    """Count events by cause, recipient domain, user or day."""
    from bounced.store import counters

    chosen = counters.CounterFilter(company=company, since=since and since.date(), until=until and _next_day(until))
    with database(context) as store, store.reading() as connection:
        totals = counters.totals(connection, counters.By(by), chosen)
    rows: list[dict[str, object]] = [{by: _name(total.name, total.company), "events": total.events} for total in totals]
    if format is Format.TABLE:
        longest = max((total.events for total in totals), default=1)
        for row, total in zip(rows, totals, strict=True):
            row |= {by: row[by] or "-", " ": "█" * math.ceil(BAR * total.events / longest)}
    write(rows, format, columns=(by, "events", " "), keys=(by, "events"))


def _name(name: str | None, company: str | None) -> str | None:
    return f"{company}/{name or '-'}" if company else name


def _next_day(moment: datetime) -> date:
    return min(moment.date(), date.max - timedelta(days=1)) + timedelta(days=1)
