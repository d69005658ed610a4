"""The purge: what is older than its retention goes, in small transactions, so that nobody waits for long.

Age counts from when a row was made, which its UUIDv7 tells.  Mail rows and counters stay.
"""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, select
from sqlalchemy.orm import InstrumentedAttribute

from bounced.store import tables
from bounced.store.engine import Store
from bounced.store.ids import floor_id
from bounced.store.outbound import OPEN

ROWS_AT_ONCE = 1000
"""Rows deleted in one transaction."""


def purge_raw(store: Store, before: datetime, should_stop: Callable[[], bool] = lambda: False) -> int:
    """Delete the bytes of mails taken in before that time; returns of how many."""
    return _purge(store, tables.RawMail, tables.RawMail.mail_id, before, should_stop)


def purge_raw_outbound(store: Store, before: datetime, should_stop: Callable[[], bool] = lambda: False) -> int:
    """Delete the bytes of messages handed over before that time, save what is open; returns of how many."""
    message = tables.RawOutbound.outbound_id
    is_open = exists().where(tables.Delivery.outbound_id == message, tables.Delivery.state.in_(OPEN))
    return _purge(store, tables.RawOutbound, message, before, should_stop, ~is_open)


def purge_events(store: Store, before: datetime, should_stop: Callable[[], bool] = lambda: False) -> int:
    """Delete the events made before that time; returns how many."""
    return _purge(store, tables.Event, tables.Event.id, before, should_stop)


def _purge(
    store: Store,
    table: type[tables.Table],
    key: InstrumentedAttribute[UUID],
    before: datetime,
    should_stop: Callable[[], bool],
    *further: ColumnElement[bool],
) -> int:
    oldest = select(key).where(key < floor_id(before), *further).order_by(key).limit(ROWS_AT_ONCE)
    purged = 0
    while not should_stop():
        with store.writing() as connection:
            deleted = connection.execute(delete(table).where(key.in_(oldest))).rowcount
        purged += deleted
        if deleted < ROWS_AT_ONCE:
            break
    return purged
