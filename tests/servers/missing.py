"""What a test does where a server that it needs cannot be had."""

import os
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")


class Missing(Exception):  # noqa: N818  it says what is missing
    """A server cannot be run here; one line: "postfix: needs root"."""


def must_have() -> bool:
    """Whether a missing server is a failure: it is for root and in CI, an ordinary user's tests are skipped."""
    return os.geteuid() == 0 or bool(os.environ.get("CI"))


def require(start: Callable[[], T]) -> T:
    """What `start` returns; where it raises Missing, the test fails or is skipped with that line."""
    try:
        return start()
    except Missing as missing:
        reason = str(missing)
    if must_have():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
