"""The daemon's waiting times."""

from datetime import timedelta

import pytest

from bounced.service.daemon import MAX_BACK_OFF, back_off


@pytest.mark.parametrize("failures", range(1, 100))
def test_back_off_is_capped_and_spread(failures):
    """Each failure doubles the wait up to the cap; chance takes off at most half."""
    wanted = min(60.0 * 2**failures, MAX_BACK_OFF.total_seconds())
    waits = [back_off(timedelta(seconds=60), failures) for _ in range(50)]
    assert all(wanted / 2 <= wait <= wanted for wait in waits)
    assert len(set(waits)) > 1


def test_back_off_is_never_shorter_than_half_the_interval():
    """A mailbox that is polled once an hour is not tried more often for being sick."""
    assert back_off(timedelta(hours=1), 9) >= 1800
