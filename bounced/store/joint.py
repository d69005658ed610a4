"""Joins the small transactions of several threads into one.

SQLite has one writer, and each commit waits for the disk: while one is at it, what the other threads want to write
gathers, and is the next transaction together.  PostgreSQL joins commits by itself.
"""

from collections.abc import Callable
from threading import Lock

from sqlalchemy import Connection

from bounced.errors import StoreError
from bounced.store.engine import Store


class _Request:
    """What one thread waits for."""

    __slots__ = ("done", "error", "write")

    def __init__(self, write: Callable[[Connection], object]) -> None:
        self.write = write
        self.done = False
        self.error: BaseException | None = None


class Joint:
    """Writes for many threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = Lock()
        self._waiting: list[_Request] = []
        self._turn = Lock()

    def write(self, write: Callable[[Connection], object]) -> None:
        """Commits what `write` does, together with what others write at the time; when it returns, that is done.

        write    may be called again, after what it did was rolled back
        raises   StoreError; what `write` raises: then nothing of it was done
        """
        if not self._store.has_one_writer:
            with self._store.writing() as connection:
                write(connection)
            return
        mine = _Request(write)
        with self._lock:
            self._waiting.append(mine)
        with self._turn:
            if not mine.done:  # by the one whose turn it was before
                with self._lock:
                    together, self._waiting = self._waiting, []
                self._commit(together)
        if mine.error:
            raise mine.error

    def _commit(self, requests: list[_Request]) -> None:
        try:
            with self._store.writing() as connection:
                for request in requests:
                    request.write(connection)
        except BaseException as error:  # noqa: BLE001  handed on to each who waits for it
            if len(requests) > 1 and not (isinstance(error, StoreError) and error.retry):
                for request in requests:  # who failed fails alone
                    self._commit([request])
                return
            for request in requests:
                request.error = error
        for request in requests:
            request.done = True
