"""Who polls a mailbox: a lease in the database, held by one process and renewed with every batch.

The transaction that stores a batch checks the lease, so that a stolen one costs work but never doubles an event.
"""

import os
import socket
from datetime import timedelta
from pathlib import Path

LENGTH = timedelta(minutes=5)
"""How long a mailbox stays with a daemon that is not heard of.  Longer than any ordinary batch takes."""


def owner() -> str:
    """The name of this process, as other processes on any host can tell it apart: HOST:PID:START."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


def is_gone(holder: str) -> bool:
    """Whether a holder ran on this host and runs no more: what a killed daemon held is free at once."""
    host, pid, started = holder.rsplit(":", 2)
    return host == socket.gethostname() and pid.isdigit() and _started(int(pid)) != started


def _started(pid: int) -> str:
    """When a process began, in clock ticks since boot (proc(5), field 22); "" if there is none: numbers come again."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
