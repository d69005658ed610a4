"""Notices to systemd."""

import socket
import time

from bounced.service import notify


def test_nobody_reads(tmp_path, monkeypatch):
    """A socket that is full costs a notice and a moment, not the daemon: it must go on to heed signals."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setattr(notify, "PATIENCE", 0.1)
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as us,
    ):
        full.bind(str(tmp_path / "notify"))
        us.setblocking(False)
        for _ in range(10_000):
            try:
                us.sendto(b"x", str(tmp_path / "notify"))
            except BlockingIOError:
                break
        started = time.monotonic()
        assert notify.notify("READY=1") is False
        assert time.monotonic() - started < 5
