"""Column types that both databases sort the same way: a moment in time and an id.

PostgreSQL has its own; SQLite's are made here, as plain as can be: they are met for every value of every row.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, Uuid
from sqlalchemy.types import TypeEngine, UserDefinedType

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Microseconds(UserDefinedType[datetime]):
    """SQLite: microseconds since 1970.  A naive time is a bug of the caller: TypeError."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """As SQLite has it."""
        return "BIGINT"

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], int | None]:  # noqa: ARG002  as the base class has it
        """To the driver."""
        return lambda value: None if value is None else (value - EPOCH) // MICROSECOND

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[int | None], datetime | None]:  # noqa: ARG002  as the base class has it
        """From the driver."""
        return lambda value: None if value is None else EPOCH + value * MICROSECOND


class Sixteen(UserDefinedType[UUID]):
    """SQLite: the 16 bytes of a UUID."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """As SQLite has it."""
        return "BLOB"

    def bind_processor(self, dialect: Dialect) -> Callable[[UUID | None], bytes | None]:  # noqa: ARG002  as the base class has it
        """To the driver."""
        return lambda value: None if value is None else value.bytes

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[bytes | None], UUID | None]:  # noqa: ARG002  as the base class has it
        """From the driver."""
        return lambda value: None if value is None else UUID(bytes=value)


MOMENT: TypeEngine[datetime] = DateTime(timezone=True).with_variant(Microseconds(), "sqlite")
"""Aware UTC."""

ID: TypeEngine[UUID] = Uuid().with_variant(Sixteen(), "sqlite")
"""A UUID."""

NUMBER: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")
"""A row's number that the database gives; SQLite's are of 64 bits under that name alone."""
