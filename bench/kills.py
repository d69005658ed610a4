"""Kills the daemon 100 times (KILLS) while it sends 5,000 messages (MESSAGES), and compares what the server got with
what the database says: on SQLite one daemon, on PostgreSQL two that share it.
"""

import os
import random
import time
from pathlib import Path

from tests.integration import mailing
from tests.integration.mailing import IDLE_BOX
from tests.integration.running import Service
from tests.servers.folders import session_folder
from tests.servers.postgres import Postgres
from tests.servers.sink import Sink

MESSAGES = int(os.environ.get("MESSAGES", "5000"))
KILLS = int(os.environ.get("KILLS", "100"))


def run(folder: Path, database: str | None, daemons: int) -> str:
    """One mailing; how it went, in words.  AssertionError: a message was lost, or sent twice."""
    seed = os.environ.get("KILL_SEED") or str(random.randrange(10**9))
    dice = random.Random(seed)
    sink = Sink()
    sink.hold = lambda: dice.uniform(0, 0.03)
    services = [Service(folder / f"{number}", database=database) for number in range(daemons)]
    started = time.perf_counter()
    try:
        for service in services:
            secrets = {"secrets": {"keys": ["env:SIGNING_KEY"]}} if database else {}
            service.configure(IDLE_BOX, directo={"relay": f"127.0.0.1:{sink.port}"}, **secrets)
        services[0].command("migrate")
        mailing.hand_over(services[0], MESSAGES)
        met = mailing.kill_while_sending(services, sink, KILLS, MESSAGES * 3 // 2 // KILLS, seed)
        mailing.finish(services)
        balance = mailing.compare(services[0], sink, MESSAGES)
    finally:
        for service in services:
            service.kill()
        sink.close()
    took = f"KILL_SEED={seed}, {time.perf_counter() - started:.0f} s"
    return (
        f"{met.kills} kills, {met.in_doubt} of them between DATA and the reply; {MESSAGES} messages: "
        f"{balance.accepted} accepted, each received once; {balance.uncertain} uncertain and listed, of which "
        f"{balance.arrived} had arrived; none twice, none lost ({took})"
    )


def main() -> None:
    """Prints how it went on each database."""
    with session_folder() as folder:
        print(f"sqlite, one daemon: {run(folder / 'sqlite', None, 1)}", flush=True)
        server = Postgres(folder / "postgres")
        server.start()
        try:
            print(f"postgresql, two daemons: {run(folder / 'two', server.database(), 2)}", flush=True)
        finally:
            server.stop()
