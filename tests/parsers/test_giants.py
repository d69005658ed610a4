"""No message costs more than is allowed, however it is built."""

import time

import pytest

from bench.giants import MEGABYTES, cost
from parsers import parse
from tests.parsers.giants import GIANTS
from tests.parsers.promises import check_outcome

SECONDS = 5
"""CPU time; three times what is allowed on a machine that does nothing else."""
WORST = (
    "text of short lines, CRLF",
    "CR",
    "parts with emoji",
    "headers of 200 KB",
    "groups",
    "recipients, 10,000",
    "forwards in base64",
    "forwards, malformed, of blank lines",
)
"""What took most when it was measured, or once did."""


@pytest.mark.parametrize("name", GIANTS)
def test_one_megabyte(name: str):
    """It keeps the promises, in a small part of the time."""
    raw = GIANTS[name](1_000_000)
    started = time.process_time()
    outcome = parse(raw)
    assert time.process_time() - started < SECONDS
    check_outcome(outcome)


@pytest.mark.slow
@pytest.mark.parametrize("name", WORST)
def test_fifty_megabytes(name: str):
    """It stays within time and memory."""
    seconds, megabytes = cost(GIANTS[name](50_000_000))
    assert seconds < SECONDS
    assert megabytes < MEGABYTES
