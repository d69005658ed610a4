"""The engine: order, evidence, permanence, and hostile text."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.causes import classify as engine
from parsers.causes.cause import Cause
from parsers.causes.classify import Verdict, classify
from parsers.causes.rule import load_rules
from parsers.causes.wording import MAX_TEXT, on_one_line, words
from parsers.reply import find_reply
from parsers.report import Kind
from parsers.status import find_status


def verdict(text: str | None, status: str | None = None, kind: Kind = Kind.BOUNCE) -> Verdict:
    """The verdict on a diagnostic, its codes found as the parsers find them."""
    found = text or ""
    return classify(text=text, status=status or find_status(found), smtp_code=find_reply(found), kind=kind)


@pytest.mark.parametrize(
    ("text", "status", "cause"),
    [
        ("550 5.1.1 <joe@example.com>: quota exceeded", "5.1.1", "mailbox-full"),
        ("550 5.7.1 <joe@example.com>: user unknown", "5.7.1", "user-unknown"),
        ("host mx.example.com said: 550 5.1.1 <joe@example.com>... gone", "5.0.0", "user-unknown"),
        ("host mx.example.com said: 452 4.2.2 over quota", "4.4.7", "mailbox-full"),
        ("550 5.7.1 No such user", "4.4.7", "user-unknown"),
        ("550 5.4.5 Daily sending quota exceeded", None, "rate-limited"),
        ("550 Rejected: SPF and DMARC failed, see spam policy", None, "dmarc-failed"),
        ("550 Rejected as spam: SPF failed", None, "spf-failed"),
        ("550 Sender address rejected: user unknown", None, "sender-refused"),
        ("554 Too many invalid recipients", None, "rate-limited"),
        ("554 5.7.1 rejected", "5.7.1", "policy-refused"),
        ("451 Please come back later", "4.4.1", "greylisted"),
        ("421", "4.4.2", "server-failure"),
        ("Connection timed out", "4.4.1", "network-failure"),
        ("Your message is delayed: 452 4.2.2 over quota", "4.4.7", "mailbox-full"),
        ("The mailbox is full. 550 Sorry", None, "mailbox-full"),
        ("192.0.2.1 does not like recipient. Remote host said: 550 Rejected Giving up on 192.0.2.1.", None, "unknown"),
        (None, "5.1.1", "user-unknown"),
        (None, "4.4.7", "delivery-expired"),
        (None, None, "unknown"),
        ("", None, "unknown"),
    ],
)
def test_the_more_telling_evidence_wins(text: str | None, status: str | None, cause: str) -> None:
    """Wording beats codes, a code in the text stands beside a wrapper's, a generic one comes last."""
    assert verdict(text, status).cause == cause


@pytest.mark.parametrize("space", ["\n", "\r\n", "\n\t", "  "])
def test_lines_make_no_difference(space: str) -> None:
    """A reply is the same however it is folded."""
    reply = "Remote host said: 550 5.7.1 Rejected 552 message size exceeds limit"
    assert verdict(reply.replace(" ", space)) == verdict(reply)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("550 5.1.1 <spam@example.com>: User unknown", "user-unknown"),
        ("550 5.1.1 <virus.dkim@spf.example.com>: No such user", "user-unknown"),
        ("host greylist.spf.example.net[192.0.2.1] said: 552 5.2.2 Mailbox full", "mailbox-full"),
        ("550 5.1.1 User unknown, see https://example.com/help/spam-virus-dmarc", "user-unknown"),
        ("550 Mailbox of full@example.com not found", "user-unknown"),
    ],
)
def test_names_do_not_decide(text: str, cause: str) -> None:
    """A word inside an address, a host or a link is nobody's reason."""
    assert verdict(text).cause == cause


@pytest.mark.parametrize(
    ("text", "status", "kind", "permanent"),
    [
        ("550 5.1.1 user unknown", None, Kind.BOUNCE, True),
        ("user unknown", None, Kind.BOUNCE, True),
        ("450 4.1.1 user unknown", None, Kind.BOUNCE, False),
        ("450 4.1.1 user unknown", None, Kind.DELAY, False),
        ("550 5.1.1 user unknown", None, Kind.DELAY, False),
        ("user unknown", "4.4.7", Kind.BOUNCE, False),
        ("550 5.1.1 user unknown", "4.4.7", Kind.BOUNCE, True),
        ("450 4.1.1 user unknown", "5.4.7", Kind.BOUNCE, False),
        (None, "5.1.2", Kind.BOUNCE, True),
        (None, "5.1.6", Kind.BOUNCE, True),
        (None, "5.1.10", Kind.BOUNCE, True),
        (None, "4.1.2", Kind.BOUNCE, False),
        ("552 5.2.2 mailbox full", None, Kind.BOUNCE, False),
        ("550 5.7.23 SPF failed", None, Kind.BOUNCE, False),
        ("550 5.2.1 mailbox disabled", None, Kind.BOUNCE, False),
        ("550 5.2.1 This account has been closed", None, Kind.BOUNCE, True),
        ("450 4.2.1 This account has been closed", None, Kind.BOUNCE, False),
        ("554 5.4.7 message expired", None, Kind.BOUNCE, False),
        ("554 Transaction failed", None, Kind.BOUNCE, False),
    ],
)
def test_permanent_says_whether_to_stop_writing(
    text: str | None, status: str | None, kind: Kind, permanent: bool
) -> None:
    """Not every 5xx: only what says that this address is no good, and never a delay or an expiry."""
    assert verdict(text, status, kind).permanent is permanent


def test_greylisting_needs_a_temporary_refusal() -> None:
    """A final refusal that mentions greylisting is no invitation to come back."""
    assert verdict("451 4.7.1 greylisted, come back").cause == Cause.GREYLISTED
    assert verdict("550 5.7.1 greylisted, but you never came back").cause != Cause.GREYLISTED


def test_host_facts_are_every_end_of_a_name() -> None:
    """A rule for ".example.com" holds for all hosts below it, and for the domain itself."""
    assert list(engine._host_facts("MX1.Example.COM.")) == [".mx1.example.com", ".example.com", ".com"]


SHAPES = {
    "one word": "a" * 1_000_000,
    "words": "user " * 200_000,
    "nearly addresses": "a@" * 500_000,
    "dots": "a." * 500_000,
    "digits": "5.7." * 250_000,
    "colons": "f:" * 500_000,
    "brackets": "<" * 1_000_000,
    "codes": "550-5.7.1 " * 100_000,
    "apostrophes": "n't" * 333_333,
    "no letters": "\x00\ud800\u200b\u3000" * 250_000,
    "beginnings of phrases": "mailbox user over storage quota exceeded maximum " * 20_000,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_megabyte_costs_no_more_than_its_bounded_part(shape: str) -> None:
    """What reaches the patterns is bounded, whatever came in; and it takes no noticeable time."""
    started = time.perf_counter()
    result = classify(text=SHAPES[shape], status=None, smtp_code=None, kind=Kind.BOUNCE)
    assert isinstance(result, Verdict)
    assert time.perf_counter() - started < 2
    assert len(on_one_line(SHAPES[shape])) <= MAX_TEXT
    assert len(words(SHAPES[shape])) <= 2 * MAX_TEXT  # "n't" grows to " not"


def test_patterns_are_still_found_after_the_automaton_was_flooded() -> None:
    """RE2 forgets its states when its memory is full; it must not forget matches."""
    example = load_rules()[0]
    before = verdict(example.example)
    vocabulary = [word for rule in load_rules() for pattern in rule.text for word in pattern.split()]
    for start in range(0, len(vocabulary), 40):
        verdict(" ".join(vocabulary[start : start + 400 : 3]))
    assert verdict(example.example) == before


@given(
    text=st.none() | st.text(st.characters(exclude_categories=()), max_size=300),
    status=st.none() | st.text(max_size=12) | st.from_regex(r"[245]\.\d{1,3}\.\d{1,3}", fullmatch=True),
    smtp_code=st.none() | st.integers(),
    kind=st.sampled_from(Kind),
    remote_mta=st.none() | st.text(max_size=50),
)
def test_nothing_raises(
    text: str | None, status: str | None, smtp_code: int | None, kind: Kind, remote_mta: str | None
) -> None:
    """Whatever a mail says, it gets a verdict; a delay never a permanent one."""
    result = classify(text=text, status=status, smtp_code=smtp_code, kind=kind, remote_mta=remote_mta)
    assert not (result.permanent and kind is Kind.DELAY)


@pytest.mark.parametrize(
    ("tail", "rule"),
    {
        "SmtpClientAuthentication is disabled for the Tenant.": "microsoft-smtp-auth-off-for-tenant",
        "SmtpClientAuthentication is disabled for the Mailbox.": "microsoft-smtp-auth-off-for-mailbox",
        "user is locked by your organization's security defaults policy.": "microsoft-login-security-defaults",
        "the request did not meet the criteria to be authenticated successfully.": "microsoft-login-conditions",
        "your access has been blocked by Conditional Access policies.": "microsoft-login-conditions",
        "the user credentials were incorrect.": "microsoft-login-wrong",
    }.items(),
)
def test_microsofts_refusal_of_a_login_has_many_tails(tail: str, rule: str) -> None:
    """The remedy follows the tail."""
    text = f"535 5.7.139 Authentication unsuccessful, {tail} [AB1PR01CA0001.eurprd01.prod.example.com]"
    assert classify(text=text, status="5.7.139", smtp_code=535, kind=Kind.BOUNCE)[::2] == (Cause.LOGIN_FAILED, rule)
