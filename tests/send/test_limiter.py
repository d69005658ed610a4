"""bounced.send.limiter with a clock that is set by hand."""

from threading import Thread

import pytest

from bounced.config import Config, Limit
from bounced.send.limiter import CONNECTIONS, Limiter
from bounced.send.servers import PRESETS


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limiter(clock: Clock, **limits: int | None) -> Limiter:
    return Limiter({"smtp.example.com": Limit(**limits)}, clock)


def test_messages_are_spaced_evenly(clock: Clock) -> None:
    """Twelve a minute is one in five seconds, whoever asks and however often."""
    limits = limiter(clock, per_minute=12)
    assert [limits.reserve("smtp.example.com") for _ in range(3)] == [0, 5, 10]
    clock.now += 7
    assert limits.reserve("SMTP.Example.Com.") == 8


def test_idleness_is_not_saved_up(clock: Clock) -> None:
    """After an hour without a message there is no burst of an hour's messages."""
    limits = limiter(clock, per_minute=60)
    limits.reserve("smtp.example.com")
    clock.now += 3600
    assert [limits.reserve("smtp.example.com") for _ in range(3)] == [0, 1, 2]


def test_any_minute_holds_no_more(clock: Clock) -> None:
    """Whoever waits as told sends at most `per_minute` messages in any 60 seconds."""
    limits = limiter(clock, per_minute=30)
    sent = []
    for pause in [0, 0, 3, 0, 0.5, 50, 0, 0, 0] * 20:
        clock.now += pause
        clock.now += limits.reserve("smtp.example.com")
        sent.append(clock.now)
    assert all(sum(start <= moment < start + 60 for moment in sent) <= 30 for start in sent)


def test_a_turn_that_is_too_far_away_is_not_taken(clock: Clock) -> None:
    """Who would not wait so long leaves the turn to others."""
    limits = limiter(clock, per_minute=12)
    assert [limits.reserve("smtp.example.com", patience=5) for _ in range(5)] == [0, 5, 10, 10, 10]
    clock.now += 5
    assert limits.reserve("smtp.example.com", patience=5) == 5


def test_connections_are_counted(clock: Clock) -> None:
    """No more than allowed at a time; one that is given back can be taken again."""
    limits = limiter(clock, connections=2)
    assert [limits.connect("smtp.example.com") for _ in range(3)] == [True, True, False]
    limits.disconnect("Smtp.example.com")
    assert [limits.connect("smtp.example.com") for _ in range(2)] == [True, False]


def test_other_hosts_are_free(clock: Clock) -> None:
    """A limit is one server's; no server has all the connections there may be."""
    limits = limiter(clock, connections=1, per_minute=1)
    assert [limits.reserve("other.example.com") for _ in range(3)] == [0, 0, 0]
    assert sum(limits.connect("other.example.com") for _ in range(100)) == CONNECTIONS
    limits.disconnect("other.example.com")
    assert limits.connect("other.example.com")


@pytest.mark.parametrize(("before", "after", "free"), [({}, {"connections": 2}, 1), ({"connections": 2}, {}, 15)])
def test_limits_change_under_connections(
    clock: Clock, before: dict[str, int], after: dict[str, int], free: int
) -> None:
    """What was connected before counts, and can be given back."""
    limits = limiter(clock, **before)
    assert limits.connect("smtp.example.com")
    limits.use({"smtp.example.com": Limit(**after)})
    assert sum(limits.connect("smtp.example.com") for _ in range(100)) == free
    for _ in range(free + 1):
        limits.disconnect("smtp.example.com")


def test_threads_share_the_turns(clock: Clock) -> None:
    """No two threads get the same turn."""
    limits = limiter(clock, per_minute=60)
    turns: list[float] = []
    threads = [
        Thread(target=lambda: turns.extend([limits.reserve("smtp.example.com") for _ in range(50)])) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(turns) == list(range(400))


@pytest.mark.parametrize(("per_minute", "worth"), [(None, CONNECTIONS), (1, 1), (12, 2), (30, 5), (600, 100)])
def test_connections_beyond_the_pace(clock: Clock, per_minute: int | None, worth: int) -> None:
    """Where a message goes in ten seconds, twelve a minute need no more than two connections."""
    assert limiter(clock, per_minute=per_minute).worth("smtp.example.com") == worth


def test_zone_is_limited_under_both_its_names() -> None:
    """It takes one message in five seconds, whichever of its servers a card names."""
    limits = Limiter(Config().send.limits, Clock())
    for host in PRESETS["zone"].hosts:
        assert [limits.reserve(host) for _ in range(2)] == [0, 5]
