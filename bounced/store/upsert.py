"""INSERT ... ON CONFLICT: the same words in both databases, which SQLAlchemy offers per dialect."""

from typing import TYPE_CHECKING

from sqlalchemy import Connection

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert

    from bounced.store.tables import Table


def upsert(connection: Connection, table: type["Table"]) -> "Insert":
    """An insert that has on_conflict_do_nothing() and on_conflict_do_update()."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]  # the same methods
    return insert(table)
