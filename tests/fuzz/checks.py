"""What must hold for one input, whatever it is.  An AssertionError is a finding."""

import json
import re
import time
from collections.abc import Callable
from typing import TypeVar

from bounced.model import golden
from parsers import parse
from parsers.causes.classify import Verdict, classify
from parsers.report import Kind
from tests.parsers.promises import CAUSE_BY_RULE, check_outcome

T = TypeVar("T")

SECONDS = 2.0
"""CPU time that no input may take."""
SECONDS_PER_KB = 0.02
"""Twenty times what the slowest mail takes when it is watched by the fuzzer: more than linear, most likely."""
SECONDS_AT_ALL = 0.1
"""What a short input may take: the garbage collector comes at any time."""

SWAPPED = {ord(letter): ord(letter.swapcase()) for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"}
"""The other case of letters that have one of each."""

DOT_INSIDE = re.compile(r"[^\W\d_]\.[^\W\d_]")
"""Where letter case tells: "full.Please" is the end of a sentence, "full.please" may be a host."""


def within_time(work: Callable[[], T], size: int) -> T:
    """What `work` returns.  If it takes suspiciously long, it is done again: the first time pays for imports."""
    allowed = min(SECONDS, SECONDS_AT_ALL + SECONDS_PER_KB * size / 1024)
    for _ in range(3):
        started = time.process_time()
        result = work()
        took = time.process_time() - started
        if took <= allowed:
            return result
    raise AssertionError(f"{took:.2f} s for {size} octets")


def check_mail(raw: bytes) -> None:
    """`parse` keeps its promises, in time, and whatever the line ends are."""
    outcome = within_time(lambda: parse(raw), len(raw))
    check_outcome(outcome)
    json.dumps(golden(outcome), ensure_ascii=False).encode()
    if b"\r" not in raw:
        assert parse(raw.replace(b"\n", b"\r\n")) == outcome


def check_reply(raw: bytes) -> None:
    """The classifier keeps its promises.

    raw  a line of "kind status code host", "-" for what is not known; what follows is the text
    """
    head, _, text = raw.decode("utf-8", "surrogateescape").partition("\n")
    kind, status, code, host = (*(word if word != "-" else None for word in head.split(" ")), *[None] * 4)[:4]
    known = {
        "status": status,
        "smtp_code": int(code) if code and code.isdecimal() and len(code) < 9 else None,
        "kind": Kind.DELAY if kind == "delay" else Kind.BOUNCE,
        "remote_mta": host,
    }

    def verdict(text: str) -> Verdict:
        return classify(text=text, **known)

    found = within_time(lambda: verdict(text), len(raw))
    assert found.cause is CAUSE_BY_RULE[found.rule]
    assert isinstance(found.permanent, bool)
    assert not (found.permanent and kind == "delay")
    assert verdict(text.replace("\n", " ")) == found
    if not DOT_INSIDE.search(text) and "www." not in text.lower():
        assert verdict(text.translate(SWAPPED)) == found
