"""The migrations make exactly the tables that the code queries."""

import warnings
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from bounced.store import migrations
from bounced.store.engine import Store
from bounced.store.tables import SCHEMA, Table


def test_schema_is_the_newest_revision() -> None:
    """SCHEMA, which is read without alembic, is the head of one line of migrations."""
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert scripts.get_heads() == [SCHEMA]


def test_nothing_differs(store: Store) -> None:
    """A migrated database has the tables, columns, keys and indexes of tables.py, no more and no less."""
    with store.reading() as connection, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*expression-based index.*")  # SQLite's: see the next test
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []


def test_same_indexes_in_sqlite(tmp_path: Path) -> None:
    """Indexes over expressions, which alembic cannot compare in SQLite, are the same too."""
    created = create_engine("sqlite://")
    Table.metadata.create_all(created)
    with (
        Store.open(f"sqlite:///{tmp_path}/bounced.db") as store,
        store.reading() as migrated,
        created.connect() as other,
    ):
        assert indexes(migrated) == indexes(other)
    created.dispose()


def indexes(connection: Connection) -> dict[str, str]:
    """The definitions of all indexes by name; the table's name before a column's makes no difference."""
    rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"))
    return {row.name: row.sql.replace("event.", "") for row in rows}
