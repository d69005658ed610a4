"""Who holds a mailbox."""

import socket
import subprocess
import sys

from bounced.service import lease


def test_this_process_is_not_gone():
    """A running process keeps what it holds."""
    assert not lease.is_gone(lease.owner())


def test_a_killed_process_is_gone():
    """What a killed daemon held is free at once, not when its lease runs out."""
    code = "from bounced.service import lease; print(lease.owner())"
    holder = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    assert lease.is_gone(holder)


def test_another_host_is_never_gone():
    """Of another host nothing is known: its lease must run out."""
    assert not lease.is_gone("elsewhere:1:1")


def test_a_process_number_that_came_again_is_gone():
    """A number that another process has got since is told apart by when it began."""
    host, pid, started = lease.owner().rsplit(":", 2)
    assert lease.is_gone(f"{host}:{pid}:{int(started) - 1}")
    assert host == socket.gethostname()
