"""The event's JSON."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from bounced.model import iso


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (None, None),
        (datetime(2026, 11, 23, 4, 35, 31, 999_999, UTC), "2026-11-23T04:35:31Z"),
        (datetime(2026, 11, 23, 1, 0, 0, 0, timezone(timedelta(hours=2))), "2026-11-22T23:00:00Z"),
        (datetime(500, 1, 1, tzinfo=UTC), "0500-01-01T00:00:00Z"),  # a mail may say so
    ],
)
def test_iso(moment, text):
    """Times are ISO 8601 in UTC, to the second, whatever the year."""
    assert iso(moment) == text
