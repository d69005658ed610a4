"""What the fuzzers begin with."""

from collections.abc import Iterator
from pathlib import Path

from parsers import parse
from parsers.causes.rule import load_rules

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "fixtures", ROOT.parent / "shared/corpus/mail")


def mails() -> list[bytes]:
    """The fixtures, and the public bounces beside the project where they are there."""
    return [path.read_bytes() for folder in FOLDERS for path in sorted(folder.rglob("*.eml"))]


def replies() -> list[bytes]:
    """The example of each rule, and what the mails' reports say, in the form of `checks.check_reply`."""
    return list(dict.fromkeys(_replies()))


def _replies() -> Iterator[bytes]:
    for rule in load_rules():
        host = "mx" + rule.host[0] if rule.host else "-"
        yield f"bounce - - {host}\n{rule.example}".encode()
    for raw in mails():
        for one in parse(raw).reports:
            if one.cause:
                host = (one.remote_mta or "-").replace(" ", "")
                yield f"{one.kind} {one.status or '-'} {one.smtp_code or '-'} {host}\n{one.diagnostic or ''}".encode()
