"""What the fuzzers do, without the engine that drives them."""

from random import Random

import pytest

import parsers
from parsers.report import Report
from tests.fuzz import seeds
from tests.fuzz.checks import check_mail, check_reply
from tests.fuzz.mutate import CHANGES, mutate
from tests.parsers.mutations import MAILS

FIXTURES = [path.read_bytes() for path in MAILS]


def test_every_fixture_passes():
    for raw in FIXTURES:
        check_mail(raw)


def test_every_reply_passes():
    replies = seeds.replies()
    assert len(replies) > 300
    for raw in replies:
        check_reply(raw)


def test_a_detectors_bug_is_found(monkeypatch: pytest.MonkeyPatch):
    """Though `parse` catches it."""

    def broken(mail: object) -> tuple[Report, ...]:
        raise KeyError("x")

    monkeypatch.setattr(parsers, "ORDER", (("bad", broken),))
    with pytest.raises(AssertionError, match="bad: KeyError"):
        check_mail(FIXTURES[0])


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_each_change_changes_something(change):
    """Also where there is nothing to be changed."""
    random = Random(1)
    assert any(change(random, raw, FIXTURES[1]) != raw for raw in FIXTURES)
    for raw, donor in ((b"", b""), (b"", FIXTURES[0]), (FIXTURES[0], b"")):
        change(random, raw, donor)


def test_changed_mails_pass():
    """The same number gives the same mail, not above the size."""
    for seed in range(300):
        raw, donor = FIXTURES[seed % len(FIXTURES)], FIXTURES[seed * 7 % len(FIXTURES)]
        changed = mutate(raw, donor, 30_000, seed)
        assert changed == mutate(raw, donor, 30_000, seed)
        assert len(changed) <= 30_000
        check_mail(changed)
