"""Tokens: they come back through servers that fold case, and nobody else can make one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounced.keys import Keyring
from bounced.send.tokens import ALPHABET, LENGTH, MAX_NUMBER, NoToken, sign, verify

RING, OTHER = Keyring(["k" * 32]), Keyring(["x" * 32])
NUMBERS = st.integers(0, MAX_NUMBER)


@given(number=NUMBERS, flip=st.integers(0, 2**LENGTH - 1))
def test_round_trip(number: int, flip: int):
    """Whatever letters change their case, and whoever read 0 as o."""
    token = sign(RING, "acme", number)
    assert len(token) == LENGTH <= 24
    folded = "".join(c.upper() if flip >> place & 1 else c for place, c in enumerate(token))
    assert verify(RING, "ACME", folded) == number
    assert verify(RING, "acme", token.replace("0", "o").replace("1", "l")) == number


@given(number=NUMBERS, place=st.integers(1, LENGTH - 1), letter=st.sampled_from(ALPHABET))
def test_changed(number: int, place: int, letter: str):
    """One other character, and it is forged."""
    token = sign(RING, "acme", number)
    changed = token[:place] + letter + token[place + 1 :]
    assert verify(RING, "acme", changed) == (number if changed == token else NoToken.FORGED)


@given(number=NUMBERS)
def test_bound(number: int):
    """To the company, and to the key."""
    token = sign(RING, "acme", number)
    assert verify(RING, "other", token) is NoToken.FORGED
    assert verify(OTHER, "acme", token) is NoToken.FORGED


def test_rotation():
    """The first key signs, and all verify."""
    both = Keyring(["x" * 32, "k" * 32])
    assert verify(both, "acme", sign(RING, "acme", 7)) == 7
    assert sign(both, "acme", 7) == sign(OTHER, "acme", 7)


@pytest.mark.parametrize(
    "text", ["", "invoices", "b", sign(RING, "acme", 1)[:-1], sign(RING, "acme", 1) + "0", "õ" * 24]
)
def test_no_token(text: str):
    """What a person put behind the plus, or a server cut, proves nothing."""
    assert verify(RING, "acme", text) is NoToken.ABSENT


def test_numbers_end():
    """A number that does not fit is refused instead of cut."""
    for number in (-1, MAX_NUMBER + 1):
        with pytest.raises(ValueError, match="55 bits"):
            sign(RING, "acme", number)
