"""Reply codes are found where a server's answer is quoted, and only there."""

import pytest

from parsers.reply import find_reply


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("550 5.1.1 no such user", 550),
        ("550-5.7.26 This mail is unauthenticated", 550),
        ("smtp; 550 no such user", 550),
        ("smtp;452-4.2.2 over quota", 452),
        ("host mx.example.com[192.0.2.1]:25 said: 554 refused (in reply to end of DATA command)", 554),
        ("Remote server returned [550] no such user", 550),
        ("SMTP error from remote mail server after RCPT TO:<a@example.com>: 550 unknown user", 550),
        ("The error was: 421 try again", 421),
        ("error code 571", 571),
        ("first line\n552 too big", 552),
        ("port 587, then (state 14): 451 later", 451),
        ("size 552 bytes; 554 too big", 554),
        ("250 2.0.0 Ok: queued", 250),
        ("ERR: 334 eyJzdGF0dXMiOiI0MDEi", None),
        ("334 eyJzdGF0dXMiOiI0MDEi", 334),
        ('"550"', 550),
    ],
)
def test_found(text: str, code: int | None):
    """A reply is found wherever servers quote it."""
    assert find_reply(text) == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no such user",
        "connect to mx.example.com[192.0.2.1]:550: timed out",
        "port 525",
        "message size: 552 kB",
        "user550@example.com and 550@example.com",
        "mx-550.example.com said nothing",
        "the limit is 500 recipients",
        "max=500",
        "error 1550",
        "rue 550.12",
        "192.0.2.550",
    ],
)
def test_not_found(text: str):
    """Ports, sizes, counts and parts of addresses are no reply."""
    assert find_reply(text) is None
