"""The door to flanker: imported when it is first needed (it takes 0.3 s), and kept quiet.

Its grammar tables log about unreachable symbols at import, later its parsers log pieces of mail, and it imports `cgi`,
which warns that it is deprecated.  None of that is for the reader of our log.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


@cache
def flanker_scan() -> Any:
    """`flanker.mime.message.scanner.scan`."""
    with _quietly():
        from flanker.mime.message.scanner import scan
    return scan


@cache
def flanker_address() -> Any:
    """`flanker.addresslib.address.parse`."""
    with _quietly():
        from flanker.addresslib.address import parse
    return parse


@contextmanager
def _quietly() -> Iterator[None]:
    log = logging.getLogger("flanker")
    log.addHandler(logging.NullHandler())
    log.propagate = False
    with warnings.catch_warnings(action="ignore"):
        yield
