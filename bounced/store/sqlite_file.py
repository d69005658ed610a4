"""The file of a SQLite database: made with mode 0600, and ours.

Run as another user, SQLite would leave files beside the database that the daemon cannot write.
"""

import errno
import os
import pwd
import stat
from pathlib import Path

from bounced.errors import StoreError


def prepare(path: Path) -> None:
    """Make the file if there is none; StoreError where it is not ours to write."""
    try:
        found = path.stat()
    except FileNotFoundError:
        _create_file(path)
        return
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}", retry=False) from error
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(f"{path}: is not a file", retry=False)
    _check_owner(path, found.st_uid)
    for needed, how in ((path, os.R_OK | os.W_OK), (path.parent, os.W_OK | os.X_OK)):
        if not os.access(needed, how, effective_ids=True):
            raise StoreError(f"{needed}: cannot be written: {os.strerror(errno.EACCES)}", retry=False)


def identity(path: Path) -> tuple[int, int] | None:
    """Which file this is, whatever it is called; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _create_file(path: Path) -> None:
    existing = next(folder for folder in path.absolute().parents if folder.exists())
    if os.geteuid() == 0:
        _check_owner(path, existing.stat().st_uid)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return  # another program was quicker
    except OSError as error:
        raise StoreError(f"{path}: cannot be made: {error.strerror}", retry=False) from error


def _check_owner(path: Path, owner: int) -> None:
    if owner == os.geteuid():
        return
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"#{owner}"
    raise StoreError(f"{path} belongs to user {name}: run this as that user (sudo -u {name} ...)", retry=False)
