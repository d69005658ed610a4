"""The words about one recipient are told from those about another."""

import pytest

from parsers.said import about, best_status, line_at, quoted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<a@example.com>: host mx said: 550\n    5.1.1 no\n\nother", "host mx said: 550 5.1.1 no"),
        ("  a@example.com\n    550 no\n  b@example.com\n    552 full\n", "550 no"),
        ("a@example.com: 550 no\nb@example.com: 552 full\n", "550 no"),
        ("a@example.com\n\n#550 5.1.1 no\n\nmore", "#550 5.1.1 no"),
        ("a@example.com\n\nNo action is required.\n", None),
        ("To a@example.com\n\n<A@example.com>: 550 no\n", "550 no"),
        ("nobody", None),
    ],
)
def test_about(text: str, words: str | None):
    """Each layout's way to speak about one recipient is understood."""
    assert about(text, "a@example.com") == words


@pytest.mark.parametrize(
    ("stated", "words", "status"),
    [
        ("5.1.1", "550 no", "5.1.1"),
        ("5.0.0", "550 5.2.2 full", "5.2.2"),
        ("5.0.0", "550 no", "5.0.0"),
        (None, "said (#5.1.2)", "5.1.2"),
        ("4.4.7", "450 4.2.2 full", "4.2.2"),
        ("5.7.2", "550 5.7.26 DMARC", "5.7.26"),
        ("5.7.1", "451 4.7.1 greylisted", "4.7.1"),
        ("5.1.1", "RESOLVER 5.0.0", "5.1.1"),
        (None, "no", None),
    ],
)
def test_best_status(stated: str | None, words: str, status: str | None):
    """The server's own status wins over its wrapper, and none is invented."""
    assert best_status(stated, words) == status


def test_line_at():
    """A sentence counts at the start of a line only: behind a ">" somebody quotes it."""
    assert line_at("x\n  This is it", "This is") == 4
    assert line_at("> This is it\nand This is", "This is") == -1


def test_quoted():
    """A transcript's answers are picked out of it; where some are marked as the remote server's, only those."""
    assert quoted("RCPT TO:<a>\n550 5.1.1 no\n554 failed\nnot 550 this") == "550 5.1.1 no 554 failed"
    assert quoted(">>> RCPT TO:<a>\n<<< 550 5.1.1 no\n554 failed\nnot 550 this") == "550 5.1.1 no"
