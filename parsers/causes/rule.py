"""The classification rules as data: what one rule may say, and in which order the files are asked.

A rule decides when every condition that it names holds; the first rule in order that does gives the cause.
In a list, one entry that holds is enough.  Patterns are RE2 expressions, found anywhere in the text; `text`, `also`
and `unless` see the words of the reply (see `wording.py`: lower case, no punctuation, no reply codes, ADDRESS, HOST,
URL, IP and PATH in place of names), `raw` sees the whole reply in lower case.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from parsers.causes.cause import Cause

ORDER: tuple[str, ...] = (
    # Vocabularies of one provider or product: exact, so they cannot take another's words.
    "google",
    "microsoft",
    "yahoo",
    "providers",
    "gateways",
    "senders",
    # Fixed phrases of mail server software; a server that passes on another's reply comes after all wording.
    "servers",
    # What everybody writes, the more telling first: a text that names SPF says more than the "rejected" beside it.
    "login",
    "authentication",
    "sender",
    "reputation",
    "recipient",
    "content",
    "system",
    "languages",
    # Codes that say something, then words that say little, then codes that say little.
    "status",
    "vague",
    "code",
)
WORDED = frozenset(ORDER[: ORDER.index("status")])
"""The files of rules that know a reply by what it says."""
FOLDER = Path(__file__).with_name("rules")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule.  Empty means: not a condition."""

    name: str
    cause: Cause
    example: str  # a reply that this very rule decides; tested
    file: str  # where it stands, one of ORDER
    text: tuple[str, ...] = ()  # patterns
    also: tuple[str, ...] = ()  # further patterns, one of which must be found as well
    unless: tuple[str, ...] = ()  # patterns that must not be found
    raw: tuple[str, ...] = ()  # patterns for the whole reply
    status: tuple[str, ...] = ()  # "5.1.1"; "X.1.1" in any class, as in RFC 5248; "X.1" for all details of X.1
    code: tuple[int, ...] = ()  # reply codes
    host: tuple[str, ...] = ()  # ends of the remote server's name
    refusal: str | None = None  # "temporary" or "permanent"
    permanent: bool | None = None  # overrides what the cause implies; a temporary refusal stays not permanent


def load_rules() -> tuple[Rule, ...]:
    """Every rule in the order of asking.

    raises   ValueError with file and rule, for a key that no rule has, a wrong type or a name used twice
    """
    rules: list[Rule] = []
    names: set[str] = set()
    for stem in ORDER:
        for rule in _read(stem):
            if rule.name in names:
                raise ValueError(f"{stem}.toml: rule {rule.name!r}: the name is used twice")
            names.add(rule.name)
            rules.append(rule)
    return tuple(rules)


def _read(stem: str) -> Iterator[Rule]:
    path = FOLDER / f"{stem}.toml"
    with path.open("rb") as stream:
        tables = tomllib.load(stream)["rule"]
    for table in tables:
        try:
            yield _rule(table, stem)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path.name}: rule {table.get('name')!r}: {error}") from error


_LISTS = {field.name for field in fields(Rule) if field.default == ()}


def _rule(table: dict[str, Any], file: str) -> Rule:
    for key in _LISTS & table.keys():
        if not isinstance(table[key], list):
            raise TypeError(f"{key}: a list was expected")
    values: dict[str, Any] = {key: tuple(value) if key in _LISTS else value for key, value in table.items()}
    values["cause"] = Cause(table["cause"])
    if table.get("refusal") not in (None, "temporary", "permanent"):
        raise ValueError('refusal: "temporary" or "permanent" was expected')
    return Rule(**values, file=file)
