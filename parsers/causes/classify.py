"""Status, reply text and remote server -> cause.  One engine for every rule; the rules are data (see `rule.py`).

What is known of a reply is a set of facts: the patterns found in it, its codes, the server's name, whether the
refusal is final.  A rule needs one fact out of each of its conditions.  All patterns are matched in two passes over the
text (its words, and the whole of it) by RE2 sets, which take linear time whatever the text.  A set cannot fail silently
here: too little memory is an error when it is built; while matching, RE2 only empties its cache of states and goes on.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

import re2

from parsers.causes.cause import Cause
from parsers.causes.rule import Rule, load_rules
from parsers.causes.wording import fold, words
from parsers.report import Kind
from parsers.status import find_status

SET_MEMORY = 16 << 20
"""Bytes that one set of patterns may take, its cache of automaton states included."""

STOP_WRITING = frozenset({Cause.USER_UNKNOWN, Cause.MAILBOX_MOVED, Cause.DOMAIN_UNKNOWN, Cause.DOMAIN_ACCEPTS_NO_MAIL})
"""The causes that are permanent when the refusal is."""

Fact = int | str
"""A pattern found (its number), or a word: "5.1.1", "X.1.1", "550", ".google.com", "temporary"."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why, whether to stop writing to that address, and the name of the rule that decided."""

    cause: Cause
    permanent: bool
    rule: str


def classify(
    *, text: str | None, status: str | None, smtp_code: int | None, kind: Kind, remote_mta: str | None = None
) -> Verdict:
    """The cause of one bounce or delay.

    text        the diagnostic, of any length; a status in it counts beside `status`, which may be a mere wrapper's
    status      "5.1.1" (RFC 3463), or None
    smtp_code   200..599 (RFC 5321 §4.2), or None
    remote_mta  name of the server that refused, or None
    raises      nothing
    cost        linear in the length of the text, of which MAX_TEXT characters are looked at
    >>> classify(text="550 5.1.1 <joe@example.com>: no such user", status="5.1.1", smtp_code=550, kind=Kind.BOUNCE)
    Verdict(cause=<Cause.USER_UNKNOWN: 'user-unknown'>, permanent=True, rule='user-unknown')
    """
    engine = _engine()
    facts: set[Fact] = set()
    own_status = None
    if text:
        raw = fold(text)
        own_status = find_status(raw)
        facts.update(engine.words.found_in(words(text)), engine.raw.found_in(raw))
    for one in (own_status, status):
        if one is not None:
            facts.update(_status_facts(one))
    if smtp_code is not None:
        facts.add(str(smtp_code))
    if remote_mta:
        facts.update(_host_facts(remote_mta))
    refused_for_good = kind is Kind.BOUNCE and not _is_temporary(smtp_code, own_status, status)
    facts.add("permanent" if refused_for_good else "temporary")

    rule = engine.first(facts)
    stop = rule.cause in STOP_WRITING if rule.permanent is None else rule.permanent
    return Verdict(rule.cause, stop and refused_for_good, rule.name)


def _is_temporary(smtp_code: int | None, own_status: str | None, status: str | None) -> bool:
    """By the reply code where there is one, then by what stands in the text: a wrapper's status counts least."""
    said = str(smtp_code) if smtp_code is not None else own_status or status
    return said is not None and said.startswith("4")


@lru_cache(maxsize=256)
def _status_facts(status: str) -> tuple[str, ...]:
    """All that a rule may call a status: "5.7.26", "X.7.26", "5.7", "X.7"."""
    subject = status.rpartition(".")[0]
    return status, "X" + status[1:], subject, "X" + subject[1:]


def _host_facts(host: str) -> Iterator[str]:
    """Every end of a host name: ".mx.example.com", ".example.com", ".com"."""
    name = "." + host[:255].lower().rstrip(".")
    dot = 0
    while dot >= 0:
        yield name[dot:]
        dot = name.find(".", dot + 1)


class PatternSet:
    """Patterns matched all at once; each distinct one has a number, the same one in every rule that names it."""

    def __init__(self, patterns: Iterable[str], first: int) -> None:
        """Compile; the numbers begin at `first`.  Raises re2.error for a wrong pattern or too little memory."""
        options = re2.Options()
        options.max_mem = SET_MEMORY
        options.never_capture = True
        options.log_errors = False
        self._set = re2.Set.SearchSet(options)
        self._first = first
        self.number = {pattern: first + self._set.Add(pattern) for pattern in dict.fromkeys(patterns)}
        self._set.Compile()

    def found_in(self, text: str) -> list[int]:
        """The numbers of the patterns found."""
        found = self._set.Match(text.encode("utf-8", "replace")) or ()
        return [self._first + index for index in found]


class Engine:
    """The rules, compiled: for each the sets of facts of which it needs one each, and the facts that bar it."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = rules
        self.words = PatternSet((p for rule in rules for p in (*rule.text, *rule.also, *rule.unless)), 0)
        self.raw = PatternSet((p for rule in rules for p in rule.raw), len(self.words.number))
        self._needs = [self._needs_of(rule) for rule in rules]
        self._bars = [frozenset(map(self.words.number.__getitem__, rule.unless)) for rule in rules]
        # A rule is only looked at when one of the facts of its first need is there.
        self._rules_with: defaultdict[Fact, list[int]] = defaultdict(list)
        for number, needs in enumerate(self._needs):
            for fact in needs[0] if needs else ():
                self._rules_with[fact].append(number)

    def _needs_of(self, rule: Rule) -> tuple[frozenset[Fact], ...]:
        """The most telling need first: it is the one that rules are looked up by."""
        needs: tuple[Iterable[Fact], ...] = (
            [self.words.number[p] for p in rule.text],
            [self.raw.number[p] for p in rule.raw],
            rule.status,
            map(str, rule.code),
            [self.words.number[p] for p in rule.also],
            rule.host,
            [rule.refusal] if rule.refusal else (),
        )
        return tuple(filter(None, map(frozenset, needs)))

    def first(self, facts: set[Fact]) -> Rule:
        """The first rule in order of which all needs are met; the last rule of all has none."""
        candidates = {number for fact in facts for number in self._rules_with.get(fact, ())}
        for number in sorted(candidates):
            if self._bars[number].isdisjoint(facts) and not any(map(facts.isdisjoint, self._needs[number])):
                return self._rules[number]
        return self._rules[-1]


@cache
def _engine() -> Engine:
    return Engine(load_rules())
