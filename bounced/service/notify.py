"""systemd's notification protocol, sd_notify(3): a datagram to the socket named by NOTIFY_SOCKET.

Outside systemd there is no such variable, and nothing is sent.
"""

import os
import socket
import time

PATIENCE = 1.0
"""Seconds that systemd may be too busy to take a notice.  Waiting for longer, the daemon would heed no signal."""


def notify(*states: str) -> bool:
    """Tells systemd, for example "READY=1" and "STATUS=3 mailboxes".

    returns  whether somebody was told; never raises: a lost notice must not stop the daemon
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):  # abstract namespace, unix(7)
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(PATIENCE)
            sender.sendto("\n".join(states).encode(), address)
    except OSError:
        return False
    return True


def reloading() -> None:
    """RELOADING=1 needs the monotonic clock's time, in microseconds, beside it (sd_notify(3))."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1_000}")


def watchdog_interval() -> float | None:
    """Seconds between two WATCHDOG=1 notices, half of what sd_watchdog_enabled(3) allows; None: none are wanted."""
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID")
    if not usec.isdigit() or int(usec) == 0 or (pid is not None and pid != str(os.getpid())):
        return None
    return int(usec) / 2_000_000
