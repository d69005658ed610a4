"""The times that people name: a day (UTC), or a moment as an event's JSON tells it."""

from datetime import UTC, datetime, timedelta

import typer

DAY = "%Y-%m-%d"
MOMENTS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ")


def since(text: str) -> datetime:
    """The first moment that is meant.

    raises   typer.BadParameter for what is neither a day nor a moment
    """
    return _read(text)[0]


def until(text: str) -> datetime:
    """The first moment that is not meant any more: a day is meant whole, a second, too."""
    moment, length = _read(text)
    return min(moment, datetime.max.replace(tzinfo=UTC) - length) + length


def _read(text: str) -> tuple[datetime, timedelta]:
    for form in (DAY, *MOMENTS):
        try:
            moment = datetime.strptime(text, form)
        except ValueError:
            continue
        return moment.replace(tzinfo=UTC), timedelta(days=1) if form == DAY else timedelta(seconds=1)
    raise typer.BadParameter("expected a day or a moment in UTC: 2026-11-23 or 2026-11-23T04:35:31Z")
