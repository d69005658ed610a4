"""Replays mails from files through the steps of the daemon: parse, classify, correlate; stored only when asked to."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bounced.config import Config
from bounced.errors import InputError
from bounced.inbox.files import File, read
from bounced.keys import Keyring
from bounced.model import Event, Match, golden
from bounced.service import intake
from bounced.service.correlate import Correlator, tried_ids
from bounced.service.intake import Parsed
from bounced.store import mails
from bounced.store.engine import Store
from parsers import parse
from parsers.report import Outcome

MAX_SIZE = 50 * 2**20
"""Bytes read of one message."""

FILES_AT_A_TIME = 200
BYTES_AT_A_TIME = 16 * 2**20
"""Messages in one transaction: so many, or so big together.  A bigger one has its own."""


def replay(paths: Iterable[Path]) -> Iterator[Event]:
    """The events of the mails in these files and folders, in their order; nothing is stored.

    raises   InputError for a path that cannot be read
    """
    for file in read(paths, max_size=MAX_SIZE):
        yield from _events(file, parse(file.raw))


def _events(file: File, outcome: Outcome) -> Iterator[Event]:
    for report in outcome.reports:
        yield Event(
            id=None,
            source=file.source,
            report=report,
            received_at=None,
            truncated=file.truncated or outcome.truncated,
            mailbox=None,
            match=Match(tried_ids=tried_ids(report.evidence)),
        )


def store(paths: Iterable[Path], into: Store, config: Config, keyring: Keyring | None) -> Iterator[Event]:
    """The same, stored; a mail whose bytes were replayed into this database before is passed over.

    raises   InputError, StoreError: what was yielded before is stored
    """
    read_files = (
        intake.read(f.source, f.raw, size=len(f.raw), truncated=f.truncated, received_at=None, uid=None)
        for f in read(paths, max_size=MAX_SIZE)
    )
    batch: dict[bytes, Parsed] = {}
    octets = 0
    for message in read_files:
        if batch and (len(batch) == FILES_AT_A_TIME or octets + message.size > BYTES_AT_A_TIME):
            yield from _store_batch(into, batch, config, keyring)
            batch, octets = {}, 0
        batch[message.sha256] = message
        octets += message.size
    yield from _store_batch(into, batch, config, keyring)


def _store_batch(into: Store, parsed: dict[bytes, Parsed], config: Config, keyring: Keyring | None) -> list[Event]:
    with into.writing() as connection:
        for known in mails.known_files(connection, list(parsed)):
            del parsed[known]
        correlator = Correlator(connection, config, keyring)
        return intake.put(connection, [(m, None) for m in parsed.values()], correlator, None, datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a fixture's events are not what the JSON beside it says."""

    source: str
    what: str


def check(paths: Iterable[Path]) -> Iterator[Difference | None]:
    """Compares each NAME.eml with the NAME.json beside it: None for one that agrees.

    raises   InputError for a path that cannot be read
    """
    for file in read(paths, max_size=MAX_SIZE):
        yield _compare(file)


def _compare(file: File) -> Difference | None:
    expected_path = Path(file.source).with_suffix(".json")
    try:
        expected = json.loads(expected_path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Difference(file.source, f"{expected_path.name} is missing")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{expected_path}: cannot be read: {error}") from None
    found = golden(parse(file.raw))
    if found == expected:
        return None
    if not isinstance(expected, list) or not all(isinstance(event, dict) for event in expected):
        return Difference(file.source, f"{expected_path.name} is not a list of events")
    if len(found) != len(expected):
        return Difference(file.source, f"{len(found)} events, expected {len(expected)}")
    differing = (
        f"event {number}: {key} is {json.dumps(event.get(key), ensure_ascii=False)}, "
        f"expected {json.dumps(wanted.get(key), ensure_ascii=False)}"
        for number, (event, wanted) in enumerate(zip(found, expected, strict=True), 1)
        for key in [*event, *(key for key in wanted if key not in event)]
        if key not in event or key not in wanted or event[key] != wanted[key]
    )
    return Difference(file.source, "; ".join(differing))
