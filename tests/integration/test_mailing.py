"""kill -9 of the daemon in the middle of a mass mailing: no message twice, none lost, the uncertain ones listed."""

import os
import random
import time

import pytest

from tests.integration import mailing
from tests.integration.mailing import IDLE_BOX
from tests.integration.test_kill import tell

MESSAGES = 300
KILLS = int(os.environ.get("KILLS", "30"))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_killed_while_sending(sink, new_service, request, backend):
    """What the server received and what the database says are compared exactly; on PostgreSQL two daemons share it.

    The server waits a moment before each reply, so that kills hit between the final dot and the reply.
    """
    seed = os.environ.get("KILL_SEED") or str(random.randrange(10**9))
    tell(f"KILL_SEED={seed}")
    dice = random.Random(seed)
    sink.hold = lambda: dice.uniform(0, 0.05)
    database = request.getfixturevalue("database_url") if backend == "postgresql" else None
    services = []
    for _ in range(2 if database else 1):
        tables = {"directo": {"relay": f"127.0.0.1:{sink.port}"}, "secrets": {"keys": ["env:SIGNING_KEY"]}}
        if database is None:
            del tables["secrets"]
        service = new_service(IDLE_BOX, database=database, **tables)
        services.append(service)
    if database:
        assert services[0].command("migrate").returncode == 0
    mailing.hand_over(services[0], MESSAGES)
    met = mailing.kill_while_sending(services, sink, KILLS, MESSAGES // KILLS, seed)
    mailing.finish(services)
    balance = mailing.compare(services[0], sink, MESSAGES)
    tell(f"{met}; {balance}")
    assert met.in_doubt >= met.kills // 5, "it was hardly ever killed between DATA and the reply"
    assert balance.uncertain >= met.in_doubt


def test_a_connection_too_many_is_no_incident(sink, new_service):
    """A server that takes one connection at a time gets all messages over it; nothing is paused."""
    sink.most = 1
    sink.hold = lambda: 0.005
    service = new_service(IDLE_BOX, directo={"relay": f"127.0.0.1:{sink.port}"})
    mailing.hand_over(service, 100)
    service.start()
    service.wait_for_line("one connection less")
    mailing.finish_running(service)
    assert mailing.compare(service, sink, 100).accepted == 100
    assert service.count() == 0, "an event"
    assert "sending paused" not in service.log_text()


def test_a_server_s_limit_is_kept(sink, new_service):
    """Messages to a server with `per_minute` come no faster than that, and all of them come."""
    service = new_service(
        IDLE_BOX,
        directo={"relay": f"127.0.0.1:{sink.port}"},
        send={"limits": {"127.0.0.1": {"per_minute": 300}}},
    )
    mailing.hand_over(service, 30)
    started = time.monotonic()
    service.start()
    mailing.finish_running(service)
    assert mailing.compare(service, sink, 30).accepted == 30
    assert time.monotonic() - started >= 29 / 5, "300 a minute are one in 0.2 s"
