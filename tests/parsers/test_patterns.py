"""What RE2 is asked, and that it does not fail silently."""

import pytest
import re2

from parsers import patterns
from parsers.patterns import PatternSet, Phrases


def test_which_patterns_are_found():
    """Each distinct pattern has one number; what is not there is not told."""
    found = PatternSet(["a b", "c", "a b", "d"])
    assert [found.number[pattern] for pattern in ("a b", "c", "d")] == [0, 1, 2]
    assert sorted(found.found_in("d a b")) == [0, 2]
    assert not found.found_in("")


@pytest.mark.parametrize("text", ["Not Sent", "ei õnnestunud", "EI ÕNNESTUNUD", "НЕ ДОСТАВЛЕНО", "送信できません"])
def test_phrases_have_no_case(text: str):
    """In any script; a NUL, half a surrogate pair or a long text in front does not matter."""
    phrases = Phrases("not sent|ei õnnestunud|не доставлен|送信でき")
    assert phrases.found_in(text)
    assert phrases.found_in("\x00\ud800" + "x" * 100_000 + text)
    assert not phrases.found_in("sent")


def test_too_little_memory_is_an_error(monkeypatch: pytest.MonkeyPatch):
    """A set that cannot be built must not become one that finds nothing."""
    monkeypatch.setattr(patterns, "SET_MEMORY", 1_000)
    with pytest.raises(re2.error):
        PatternSet(f"pattern number {number}" for number in range(500))
