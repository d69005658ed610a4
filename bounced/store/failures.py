"""What a driver's error means for the operator: one line, and whether it may work again by itself."""

import sqlite3
from typing import Any

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from bounced.errors import StoreError

# SQLite: busy, locked, out of memory, disk I/O, full, cannot open (a journal cannot be made on a full disk).
SQLITE_RETRY = {5, 6, 7, 10, 13, 14}
# PostgreSQL, by SQLSTATE: connection lost, rolled back for another's sake, no resources, operator's doing, system
# error; lock or statement timeout, a server that became a standby, a writer that hung.
POSTGRESQL_RETRY = ("08", "40", "53", "57", "58", "55P03", "25006", "25P03")
# A failed connection has no SQLSTATE; these words of the server tell what waiting does not mend.
POSTGRESQL_HOPELESS = ("authentication failed", "does not exist", "no pg_hba.conf entry", "no password supplied")


def store_error(error: SQLAlchemyError, place: str, *, secret: str | None) -> StoreError:
    """The error in one line; `secret` never shows in it."""
    if isinstance(error, PoolTimeoutError):
        words, retry = "all connections are in use", True
    elif not isinstance(error, DBAPIError):
        words, retry = str(error), False
    elif isinstance(error.orig, sqlite3.Error):
        words, retry = str(error.orig), _sqlite_retry(error.orig)
    else:
        words, retry = _postgresql(error.orig)
        retry = retry or error.connection_invalidated
    line = words.strip().partition("\n")[0]
    return StoreError(f"{place}: {line.replace(secret, '***') if secret else line}", retry=retry)


def _sqlite_retry(error: sqlite3.Error) -> bool:
    code: int = getattr(error, "sqlite_errorcode", 0)  # not there where the error is the driver's own
    return code & 0xFF in SQLITE_RETRY  # the low byte is the primary code


def _postgresql(error: Any) -> tuple[str, bool]:
    """Words and whether to retry.  `error` is psycopg's, which is not imported where SQLite is used."""
    state: str | None = getattr(error, "sqlstate", None)
    if state:
        return error.diag.message_primary or str(error), state.startswith(POSTGRESQL_RETRY)
    kinds = (kind.__name__ for kind in type(error).__mro__)  # a connection that timed out is one of a kind of its own
    lost = "OperationalError" in kinds and not any(hint in str(error) for hint in POSTGRESQL_HOPELESS)
    return str(error), lost
