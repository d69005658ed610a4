"""Folders that servers can use which give up root's rights: every folder above must be open to them."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.missing import Missing

PROJECT = Path(__file__).resolve().parents[2]


def is_open(folder: Path) -> bool:
    """Whether every user may pass through `folder` and all folders above it."""
    return all(path.stat().st_mode & 0o001 for path in (folder, *folder.parents))


def cache() -> Path:
    """Where unpacked servers are kept between runs: build/servers, or elsewhere if that is closed to them or to us."""
    folder = PROJECT / "build/servers"
    if _is_ours(folder) and (os.geteuid() != 0 or is_open(folder)):
        return folder
    folder = Path(f"/var/tmp/bounced-servers-{os.geteuid()}")
    if not _is_ours(folder):
        raise Missing(f"{folder}: belongs to somebody else")
    return folder


def _is_ours(folder: Path) -> bool:
    """Make `folder` where it is not there; whether it is ours and can be written."""
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK) and folder.stat().st_uid in {os.geteuid(), PROJECT.stat().st_uid}


@contextmanager
def session_folder() -> Iterator[Path]:
    """A new folder with mode 0755 and a short path (Unix sockets have 108 octets), removed at the end."""
    parent = next(path for path in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")) if is_open(path))
    folder = Path(tempfile.mkdtemp(prefix="bounced-", dir=parent))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
