"""What the rules see of a reply."""

import pytest

from parsers.causes.wording import MAX_TEXT, on_one_line, words


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("550 5.1.1 <spam@example.com>... User unknown", "ADDRESS user unknown"),
        (
            "550-5.1.1 The account that you tried\r\n550-5.1.1 to reach does\r\n550 5.1.1 not exist",
            "account tried reach not exist",
        ),
        ("host spf.example.net[192.0.2.1]:25 said: 550 Mailbox full", "host HOST IP said mailbox full"),
        ("The user doesn't exist; it couldn't be found", "user not exist not found"),
        ("cannot open /var/mail/virus: No such file", "not open PATH no such file"),
        ("MAILBOX_FULL over-quota e-mail", "mailbox full over quota email"),
        ("The mailbox is full.Please try again", "mailbox full try again"),
        ("see https://spam.example.com/virus?x=1, www.example.com", "see URL URL"),
        ("from [2001:db8::25] and 192.0.2.1:49309", "from IP IP"),
        ("user’s “mailbox” was – sadly – moved", "users mailbox sadly moved"),
        ("smtp;550-Rejected", "smtp rejected"),
        ("550--550--" * 2 + "Rejected", "550 550 550 rejected"),
        ("reason=user_unknown&code=550#5.1.1", "reason user unknown code"),
        ("Postkast on täis", "postkast täis"),
        ("", ""),
        ("\x00\ud800 550", "\ud800"),
    ],
)
def test_words(text: str, seen: str) -> None:
    """Names, codes, punctuation and filler go; what was said stays."""
    assert words(text) == seen


def test_no_depth_is_reached() -> None:
    """A token made of codes and signs is looked at once, not piece by piece."""
    assert words("550--" * 700) == " ".join(["550"] * 699)


def test_only_a_bounded_part_is_looked_at() -> None:
    """A huge text costs no more than a long one."""
    assert len(on_one_line("a" * (MAX_TEXT * 100))) == MAX_TEXT
    assert len(words("a " * (MAX_TEXT * 100)).split()) == 0
    assert len(words("b " * (MAX_TEXT * 100)).split()) == MAX_TEXT // 2
