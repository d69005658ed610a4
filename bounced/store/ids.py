"""Ids of rows: UUIDv7, made by the client, so that a bulk insert needs no answer.  Source: RFC 9562 §5.7."""

from datetime import datetime
from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A new id: greater than every other that this process made before."""
    return uuid7()


def floor_id(moment: datetime) -> UUID:
    """The least id that can have been made at `moment` (aware): the ids below it are older."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)  # no id is from before 1970
