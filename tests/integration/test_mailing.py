"""kill -9 of the daemon in the middle of a mass mailing: no message twice, none lost, the uncertain ones listed."""

import os
import random

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
