"""What an SMTP server answers (RFC 5321 §4.2), as it came, but safe to keep and to show."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

MAX_TEXT = 2_000  # characters kept of one reply; longer ones are cut
SHORTEST_SECRET = 4  # characters; what is shorter is found in any text
TOO_MANY_RECIPIENTS = re.compile(r"5\.5\.3\b|too many recipients", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One reply."""

    code: int  # 200..599
    text: str  # after the code; several lines are parted by "\n"; no other control characters, at most MAX_TEXT

    def __str__(self) -> str:
        return " ".join(self.verbatim.split())

    @property
    def verbatim(self) -> str:
        """With its code; the lines are parted by LF."""
        return f"{self.code} {self.text}"

    @property
    def accepted(self) -> bool:
        """Whether it is a yes."""
        return self.code // 100 == 2

    @property
    def temporary(self) -> bool:
        """Whether it is a no that may become a yes: so is the 552 for too many recipients (RFC 5321 §4.5.3.1.10)."""
        return self.code // 100 == 4 or (self.code == 552 and bool(TOO_MANY_RECIPIENTS.search(self.text)))

    @property
    def final(self) -> bool:
        """Whether it is a no that stays one."""
        return not (self.accepted or self.temporary)


def from_server(code: int, text: bytes, secrets: Iterable[str]) -> Reply:
    """A server's reply, its lines parted by LF.

    secrets  what was sent to the server, and may come back in its answer
    """
    return Reply(code=code, text=printable(text.decode("utf-8", "replace"), secrets))


def printable(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without secrets, with blanks for its control characters (but LF), at most MAX_TEXT characters."""
    for secret in sorted(secrets, key=len, reverse=True):  # one may be part of another
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return "\n".join(_line(line) for line in text[:MAX_TEXT].split("\n"))


def _line(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else " " for letter in text)
