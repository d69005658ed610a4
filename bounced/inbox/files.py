"""Messages from files, for replay: a message, an mbox, a Maildir, or a folder with any of these.

One message at a time is in memory, whatever the size of the file.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from bounced.errors import InputError

FROM = b"From "
# From MAILER-DAEMON Mon Nov 23 04:51:00 2026: the time tells it from a sentence of a body whose writer did not quote it
SEPARATOR = re.compile(rb"From [^\r\n]{0,400}?\d:\d\d")
QUOTED = re.compile(rb">+From ")  # mboxrd: one more > than the message had
LINE = 64 * 2**10  # octets of a line that are looked at together


class File(NamedTuple):
    """One message as it lay in a file."""

    source: str  # PATH, or PATH#N from 1 in an mbox
    raw: bytes
    truncated: bool  # raw is only the first max_size octets


def read(paths: Iterable[Path], *, max_size: int) -> Iterator[File]:
    """All messages of `paths`, in their order; folders sorted by name, with all folders below.

    max_size  octets of one message; the rest is left out
    raises    InputError: a path that is missing or cannot be read, a folder without any message
    """
    for path in paths:
        found = False
        for file in _files(path):
            found = True
            try:
                yield from _messages(file, max_size)
            except OSError as error:
                raise InputError(f"{file}: cannot be read: {error.strerror}") from None
        if not found:
            raise InputError(f"{path}: holds no message (*.eml, *.mbox or a Maildir)")


def _files(path: Path) -> Iterator[Path]:
    """The files of `path`: itself, or what a folder holds."""
    try:
        if not path.is_dir():
            path.stat()
            yield path
            return
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    maildir = {"cur", "new"} <= {entry.name for entry in entries}
    here_is_mail = path.name in ("cur", "new") and (path.parent / "cur").is_dir() and (path.parent / "new").is_dir()
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if not (maildir and entry.name == "tmp"):  # what is being delivered just now
                yield from _files(path / entry.name)
        elif entry.is_file() and (
            entry.name.lower().endswith((".eml", ".mbox")) or (here_is_mail and not entry.name.startswith("."))
        ):
            yield path / entry.name


def _messages(path: Path, max_size: int) -> Iterator[File]:
    with path.open("rb") as file:
        if file.peek(len(FROM)).startswith(FROM) and path.suffix.lower() != ".eml":
            for number, (raw, truncated) in enumerate(_mbox(file, max_size), 1):
                yield File(f"{path}#{number}", raw, truncated)
        else:
            raw = file.read(max_size)
            yield File(str(path), raw, bool(file.read(1)))


def _mbox(file: BinaryIO, max_size: int) -> Iterator[tuple[bytes, bool]]:
    """Each message of an mbox, without its From line and the empty line at its end (RFC 4155, with mboxrd quotes)."""
    raw = bytearray()
    truncated = False
    started = False
    at_start, after_empty = True, True  # of a line; the line before was empty
    while line := file.readline(LINE):
        if at_start and after_empty and (not started or SEPARATOR.match(line)):
            if started:
                yield _without_last_empty_line(raw), truncated
            raw, truncated, started = bytearray(), False, True
            _skip_line(file, line)
            continue
        if at_start and QUOTED.match(line):
            line = line[1:]
        room = max_size - len(raw)
        truncated = truncated or len(line) > room
        raw += line[:room]
        after_empty = at_start and line in (b"\n", b"\r\n")
        at_start = line.endswith(b"\n")
    if started:
        yield _without_last_empty_line(raw), truncated


def _skip_line(file: BinaryIO, line: bytes) -> None:
    while line and not line.endswith(b"\n"):
        line = file.readline(LINE)


def _without_last_empty_line(raw: bytearray) -> bytes:
    for end in (b"\r\n\r\n", b"\n\n"):
        if raw.endswith(end):
            return bytes(raw[: len(raw) - len(end) // 2])
    return bytes(raw)
