"""bounced.send.envelope: what is said in MAIL and RCPT, and what cannot be."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounced.errors import InputError
from bounced.send.envelope import Envelope, mail_command, rcpt_command, refusals

ALL = {"size": "1000", "8bitmime": "", "smtputf8": "", "dsn": ""}
ASCII, EIGHT = b"Subject: x\r\n\r\ny\r\n", "Subject: õ\r\n".encode()


def envelope(*recipients: str, sender: str = "mari@example.com", **fields: object) -> Envelope:
    return Envelope(sender=sender, recipients=recipients or ("jaan@example.org",), **fields)  # type: ignore[arg-type]


def test_nothing_is_asked_for_that_is_not_offered() -> None:
    """A server without extensions hears the two addresses."""
    assert mail_command(envelope(envid="A1", smtputf8=True), EIGHT, {}) == "FROM:<mari@example.com>"
    assert rcpt_command("jaan@example.org", {}) == "TO:<jaan@example.org>"
    assert mail_command(envelope(sender=""), ASCII, {}) == "FROM:<>"


def test_what_is_offered_and_needed_is_asked_for() -> None:
    """SIZE and RET always, ENVID where there is one, BODY and SMTPUTF8 only where the message is so."""
    assert mail_command(envelope(), ASCII, ALL) == "FROM:<mari@example.com> SIZE=17 RET=HDRS"
    assert (
        mail_command(envelope(envid="a+b=c d", smtputf8=True), EIGHT, ALL)
        == "FROM:<mari@example.com> SIZE=13 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb+3Dc+20d"
    )
    assert mail_command(envelope("jaan@example.org", "õ@example.org"), ASCII, ALL).split()[2] == "SMTPUTF8"


def test_original_recipient() -> None:
    """ORCPT is xtext of type rfc822, or the 7-bit form of type utf-8 (RFC 6533 §3)."""
    plain, beyond = rcpt_command("a+b=c@example.org", ALL), rcpt_command("a+õж😀@näide.example", ALL)
    assert plain == "TO:<a+b=c@example.org> NOTIFY=FAILURE,DELAY ORCPT=rfc822;a+2Bb+3Dc@example.org"
    assert beyond.endswith(r"ORCPT=utf-8;a\x{2B}\x{F5}\x{436}\x{1F600}@n\x{E4}ide.example")


def test_too_big_for_the_server() -> None:
    """Above the size that it announced nobody is asked; no number and 0 are no limit (RFC 1870 §4)."""
    (reply,) = refusals(envelope(), ASCII, {"size": "16"}).values()
    assert reply.code == 552
    assert "17 octets" in reply.text
    assert "at most 16" in reply.text
    assert [refusals(envelope(), ASCII, {"size": size}) for size in ("17", "0", "", "x", "²")] == [{}] * 5


def test_addresses_beyond_ascii_need_smtputf8() -> None:
    """Only the recipients who need it are left out; all where the message or the sender does."""
    mixed = ("jaan@example.org", "õ@example.org")
    replies = refusals(envelope(*mixed), ASCII, {"8bitmime": ""})
    assert [(address, reply.code) for address, reply in replies.items()] == [("õ@example.org", 550)]
    assert "SMTPUTF8" in replies["õ@example.org"].text
    assert set(refusals(envelope(*mixed, smtputf8=True), EIGHT, {"8bitmime": ""})) == set(mixed)
    assert set(refusals(envelope(*mixed, sender="ž@example.com"), ASCII, {})) == set(mixed)
    assert refusals(envelope(*mixed, smtputf8=True), EIGHT, ALL) == {}


def test_text_beyond_ascii_needs_8bitmime() -> None:
    """It would arrive broken otherwise."""
    (reply,) = refusals(envelope(), EIGHT, {}).values()
    assert reply.code == 554


@pytest.mark.parametrize(
    "address",
    [
        "a@example.org\r\nRCPT TO:<b@example.org>",
        "a@example.org> NOTIFY=NEVER",
        "a b@example.org",
        "<a@example.org>",
        "a@b@example.org",
        "a@",
        "@example.org",
        "a",
        "a\0@example.org",
        "a@example\ud800.org",
        "a@example.org\u2028",
        '"a"b"@example.org',
        "a" * 310 + "@example.org",
    ],
)
def test_what_is_no_address(address: str) -> None:
    """What could end a command or add to it never gets into one; the error shows it harmlessly."""
    with pytest.raises(InputError) as caught:
        envelope(address)
    assert str(caught.value).isprintable()
    with pytest.raises(InputError):
        envelope(sender=address)


def test_other_bad_envelopes() -> None:
    """Nobody to write to, and ids that no report could bring back."""
    with pytest.raises(InputError):
        Envelope(sender="", recipients=())
    for envid in ("", "õ", "a\r\nb", "x" * 101):
        with pytest.raises(InputError):
            envelope(envid=envid)


def test_quoted_local_part() -> None:
    """A quoted one may hold nearly anything; that is standard, and it ends where it should."""
    assert rcpt_command(envelope(r'"a \"> b"@example.org').recipients[0], {}) == r'TO:<"a \"> b"@example.org>'


@given(st.text(max_size=40).map(lambda text: text + "@example.org"))
def test_no_address_adds_to_a_command(address: str) -> None:
    """Whatever is taken is one path between its brackets, on one line."""
    try:
        command = rcpt_command(envelope(address).recipients[0], ALL)
    except InputError:
        return
    path = r'TO:<("([^"\\]|\\.)*"|[^"<>\s])*@example\.org> NOTIFY=FAILURE,DELAY ORCPT=(rfc822|utf-8);[!-~]+'
    assert re.fullmatch(path, command)


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=100))
def test_envelope_id_comes_back(envid: str) -> None:
    """Who reads xtext as RFC 3461 §4 says has the id again."""
    said = mail_command(envelope(envid=envid), ASCII, {"dsn": ""}).split("ENVID=")[1]
    assert re.fullmatch(r"[!-~]+", said)
    assert re.sub(r"\+([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), said) == envid
