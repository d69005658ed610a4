"""The daemon's waiting times, and what it says of itself."""

from contextlib import closing
from datetime import timedelta

import pytest

from bounced import config
from bounced.service.daemon import MAX_BACK_OFF, Daemon, back_off

UNREACHABLE = """
[[mailbox]]
name = "acme"
host = "127.0.0.1"
port = 1
tls = "none"
username = "acme"
password = "env:PASSWORD"
"""


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


def test_a_mailbox_that_was_taken_out_does_not_fail(tmp_path, monkeypatch):
    """A poll that is under way while its mailbox leaves the configuration may fail without being counted for ever."""
    monkeypatch.setenv("PASSWORD", "p")
    (tmp_path / "bounced.toml").write_text(UNREACHABLE)
    daemon = Daemon(lambda: config.load(tmp_path / "bounced.toml", {}))
    with closing(daemon._store):
        loaded = daemon._config
        daemon._jobs = {"poll:acme": (loaded.mailbox[0], loaded.poll)}
        daemon._poll(loaded.mailbox[0], loaded)
        assert "1 failing" in daemon._status()
        daemon._jobs, daemon._failures = {}, {}
        daemon._poll(loaded.mailbox[0], loaded)
        assert "failing" not in daemon._status()
