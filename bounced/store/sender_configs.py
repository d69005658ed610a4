"""Sender configs: kept for ever as messages went out with them, paused while they fail, changed with the card."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, select, update

from bounced.model import digest_of
from bounced.store import tables
from bounced.store.outbound import State
from bounced.store.upsert import upsert


def keep_sender_config(connection: Connection, company_id: int, snapshot: Mapping[str, object]) -> int:
    """The row of a sender config, which is made at its first use and never changed."""
    digest = digest_of(snapshot)
    chosen = select(tables.SenderConfig.id).where(
        tables.SenderConfig.company_id == company_id, tables.SenderConfig.digest == digest
    )
    found = connection.scalar(chosen)
    if found is None:
        connection.execute(
            upsert(connection, tables.SenderConfig)
            .values(company_id=company_id, digest=digest, snapshot=dict(snapshot))
            .on_conflict_do_nothing()
        )
        found = connection.execute(chosen).scalar_one()
    return found


def sender_snapshot(connection: Connection, sender_config_id: int) -> dict[str, Any]:
    """A sender config as it was kept."""
    chosen = select(tables.SenderConfig.snapshot).where(tables.SenderConfig.id == sender_config_id)
    kept: dict[str, Any] = connection.execute(chosen).scalar_one()
    return kept


def paused(connection: Connection, now: datetime) -> list[int]:
    """The sender configs that nothing is sent with for now."""
    return list(connection.scalars(select(tables.SenderPause.sender_config_id).where(tables.SenderPause.until > now)))


def pause(connection: Connection, sender_config_id: int, now: datetime, wait: Callable[[int], timedelta]) -> int:
    """Pause a sender config, or prolong its pause; how often in a row it failed.

    wait   how long the pause is after so many failures before
    """
    table = tables.SenderPause
    chosen = table.sender_config_id == sender_config_id
    before = connection.scalar(select(table.failures).where(chosen)) or 0
    until = now + wait(before)
    if before:
        connection.execute(update(table).where(chosen).values(until=until, failures=before + 1))
    else:
        row = {"sender_config_id": sender_config_id, "since": now, "until": until, "failures": 1}
        connection.execute(upsert(connection, table).on_conflict_do_nothing(), row)
    return before + 1


def resume(connection: Connection, sender_config_ids: Iterable[int]) -> None:
    """End the incidents of sender configs: they work again."""
    connection.execute(
        delete(tables.SenderPause).where(tables.SenderPause.sender_config_id.in_(list(sender_config_ids)))
    )


def waiting_users(connection: Connection, sender_config_ids: Iterable[int]) -> list[tuple[int, int, int]]:
    """Whose messages wait for these sender configs: (sender config, user, company)."""
    chosen = (
        select(tables.Outbound.sender_config_id, tables.Outbound.user_id, tables.Outbound.company_id)
        .join(tables.Delivery, tables.Delivery.outbound_id == tables.Outbound.id)
        .where(
            tables.Delivery.state == State.QUEUED.value,
            tables.Outbound.sender_config_id.in_(list(sender_config_ids)),
        )
        .distinct()
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(chosen)]


def use_sender_config(connection: Connection, before: int, user_id: int, after: int, now: datetime) -> None:
    """Have a user's queued messages go out with another sender config, at once: the card was changed.

    So the old one's incident is over: should the card be changed back, and fail again, that is another one.
    """
    queued = tables.Delivery.state.in_((State.QUEUED.value, State.CLAIMED.value))
    chosen = select(tables.Delivery.outbound_id).where(queued)
    mine = (tables.Outbound.sender_config_id == before, tables.Outbound.user_id == user_id)
    moved = connection.scalars(
        update(tables.Outbound)
        .where(*mine, tables.Outbound.id.in_(chosen))
        .values(sender_config_id=after)
        .returning(tables.Outbound.id)
    ).all()
    connection.execute(
        update(tables.Delivery)
        .where(tables.Delivery.state == State.QUEUED.value, tables.Delivery.outbound_id.in_(moved))
        .values(due_at=now)
    )
    resume(connection, [before])
