"""How fast and how broad a server may be written to.  No I/O; the clock is passed in."""

from collections.abc import Callable, Mapping
from math import ceil, inf
from threading import Lock

from bounced.config import Limit

UNLIMITED = Limit(connections=None, per_minute=None)
CONNECTIONS = 16
"""To one server at a time, where its limit says nothing: one that hangs must leave some to the others."""
SLOW = 10.0
"""Seconds that a message may take; so many connections as keep up with a limit then are enough."""


class Limiter:
    """The limits of servers, for all threads of one process.

    Messages are spaced evenly: so many a minute never become a burst, and any minute holds no more.
    """

    def __init__(self, limits: Mapping[str, Limit], clock: Callable[[], float]) -> None:
        """`limits`: see `use`; `clock`: monotonic seconds."""
        self.use(limits)
        self._clock = clock
        self._lock = Lock()
        self._free_at: dict[str, float] = {}  # when the next message may go
        self._connections: dict[str, int] = {}  # in use
        self._wanted: set[str] = set()  # servers to which somebody has no connection, since others use all

    def use(self, limits: Mapping[str, Limit]) -> None:
        """From now on these, by host name, in whatever case; what is in use stays counted."""
        self._limits = {host.lower(): limit for host, limit in limits.items()}

    def reserve(self, host: str, *, patience: float = inf) -> float:
        """Takes the next turn to send one message to `host`; how many seconds to wait for it.

        patience   of a turn that is more seconds away the distance is told, and it is not taken
        """
        key, limit = self._find(host)
        if limit.per_minute is None:
            return 0.0
        with self._lock:
            now = self._clock()
            turn = max(now, self._free_at.get(key, now))
            if turn - now <= patience:
                self._free_at[key] = turn + 60 / limit.per_minute
        return turn - now

    def worth(self, host: str) -> int:
        """How many connections to `host` make anything faster: each more takes a turn that others may wait for."""
        _, limit = self._find(host)
        return CONNECTIONS if limit.per_minute is None else ceil(limit.per_minute * SLOW / 60)

    def connect(self, host: str) -> bool:
        """Takes one of the connections that `host` allows; False where all are in use."""
        key, limit = self._find(host)
        with self._lock:
            in_use = self._connections.get(key, 0)
            if in_use >= (limit.connections or CONNECTIONS):
                return False
            self._connections[key] = in_use + 1
        return True

    def want(self, host: str) -> None:
        """Asks those who use the connections to `host` to leave one of them."""
        key, _ = self._find(host)
        with self._lock:
            self._wanted.add(key)

    def is_wanted(self, host: str) -> bool:
        """Whether a connection to `host` is to be left to others; of those who ask, one is told so."""
        key, _ = self._find(host)
        with self._lock:
            is_wanted = key in self._wanted
            self._wanted.discard(key)
        return is_wanted

    def disconnect(self, host: str) -> None:
        """Gives back what `connect` took."""
        key, _ = self._find(host)
        with self._lock:
            self._connections[key] -= 1

    def _find(self, host: str) -> tuple[str, Limit]:
        key = host.lower().removesuffix(".")
        return key, self._limits.get(key, UNLIMITED)
