"""Enhanced status codes are found where they are, and only there."""

import pytest

from parsers.status import find_status, is_generic


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("550 5.1.1 no such user", "5.1.1"),
        ("550-5.7.26 This mail is unauthenticated", "5.7.26"),
        ("smtp;550 #5.1.0 Address rejected.", "5.1.0"),
        ("Remote host said: 550 No such user. (#5.1.1)", "5.1.1"),
        ("<mx.example.com #5.7.606 smtp; 550 5.7.606 Access denied>", "5.7.606"),
        ("dsn=4.4.2, status=deferred", "4.4.2"),
        ("it is 5.2.2.", "5.2.2"),
        ("running version 5.1.2 said 4.2.2 full", "4.2.2"),
    ],
)
def test_found(text: str, status: str):
    """A status is found wherever servers write it."""
    assert find_status(text) == status


@pytest.mark.parametrize(
    "text",
    [
        "",
        "550 no such user",
        "connect to 5.1.1.1[5.1.1.1]:25: timed out",
        "connect to 1.5.1.1: refused",
        "Exim 4.97.1 and v5.1.2 and Version: 5.1.2",
        "Mozilla/5.0.1",
        "mail-5.1.1.example.com",
        "on 5.11.2026",
        "3.1.1 and 6.1.1",
    ],
)
def test_not_found(text: str):
    """Version numbers, addresses and dates are no status."""
    assert find_status(text) is None


def test_generic():
    """x.0.0 says no more than its class."""
    assert is_generic("5.0.0")
    assert is_generic(None)
    assert not is_generic("5.1.10")
