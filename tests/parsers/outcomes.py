"""What the parsers as they are written make of many mails, for a process of its own: one line for each."""

import sys
from collections.abc import Iterator

from tests import sources
from tests.fuzz.mutate import mutate
from tests.parsers.mutations import MAILS

CHANGES = 4
"""Changed copies of each fixture."""
MAX_SIZE = 65_536


def mails() -> Iterator[bytes]:
    """The fixtures and changed ones, always the same."""
    fixtures = [path.read_bytes() for path in MAILS]
    for number, raw in enumerate(fixtures):
        yield raw
        for change in range(CHANGES):
            yield mutate(raw, fixtures[number - 1 - change], MAX_SIZE, change)


if __name__ == "__main__":
    sources.use_sources()
    from parsers import dsn, parse

    assert dsn.__file__.endswith(".py")
    sys.stdout.writelines(f"{parse(raw)!a}\n" for raw in mails())
