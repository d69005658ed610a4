"""Status, reply text and remote server -> cause.  One engine for every rule; the rules are data (see `rule.py`).

What is known of a reply is a set of facts: the patterns found in it, its codes, the server's name, whether the
refusal is final.  A rule needs one fact out of each of its conditions.  All patterns are matched in two passes over the
text: its words, and the whole of it.

A set of rules is one whole number, in which each rule has a bit, the first rule the lowest: so every rule is tried at
once, and the lowest bit that is left decides.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from typing import NamedTuple

from parsers.causes.cause import Cause
from parsers.causes.rule import WORDED, Rule, load_rules
from parsers.causes.wording import on_one_line, words
from parsers.patterns import PatternSet
from parsers.reply import find_reply, own_words
from parsers.report import Kind
from parsers.status import find_status

REMEMBERED = 4_096
"""Replies, without their names and numbers, of which it is remembered what was found and decided."""
LONG = 500
"""Characters of a text that is no mere reply, and never comes again."""

STOP_WRITING = frozenset({Cause.USER_UNKNOWN, Cause.MAILBOX_MOVED, Cause.DOMAIN_UNKNOWN, Cause.DOMAIN_ACCEPTS_NO_MAIL})
"""The causes that are permanent when the refusal is."""

Fact = int | str
"""The number of a pattern that was found, a reply code, "5.1.1", "X.1.1", ".google.com", "temporary"."""
Rules = int
"""A set of rules, as bits."""


class Verdict(NamedTuple):
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
    text = on_one_line(text) if text else ""
    refused_for_good = kind is Kind.BOUNCE and not _is_temporary(smtp_code, find_status(text), status)
    refusal = "permanent" if refused_for_good else "temporary"
    engine = _engine()

    def decided_by(text: str, status: str | None = status) -> int:
        return engine.first(text=text, status=status, code=smtp_code, host=remote_mta, refusal=refusal)

    answer, in_front = own_words(text)
    if status and status[1:3] == ".4" and find_reply(answer) and not find_status(answer):
        number = decided_by(answer, None)  # no network failed where a server answered: the status is a wrapper's
        if engine.rules[number].cause is Cause.UNKNOWN:
            number = decided_by(answer)
    else:
        number = decided_by(answer)
    if in_front and number >= engine.worded:  # it says little: what stands in front of it may say more
        in_front_of_it = decided_by(in_front)
        if in_front_of_it < engine.worded or engine.rules[number].cause is Cause.UNKNOWN:
            number = in_front_of_it
    rule = engine.rules[number]
    stop = rule.cause in STOP_WRITING if rule.permanent is None else rule.permanent
    return Verdict(rule.cause, stop and refused_for_good, rule.name)


def _is_temporary(smtp_code: int | None, own_status: str | None, status: str | None) -> bool:
    """By the reply code where there is one, then by what stands in the text: a wrapper's status counts least."""
    said = str(smtp_code) if smtp_code is not None else own_status or status
    return said is not None and said.startswith("4")


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


class Condition:
    """One condition of all rules: which of them each fact meets."""

    def __init__(self, wanted: Iterable[Iterable[Fact]]) -> None:
        """`wanted`: for each rule in order the facts of which one is enough; none: the rule has no such condition."""
        self.absent: Rules = 0  # the rules that do not have it
        self.by_fact: defaultdict[Fact, Rules] = defaultdict(int)
        for number, facts in enumerate(map(frozenset, wanted)):
            for fact in facts:
                self.by_fact[fact] |= 1 << number
            if not facts:
                self.absent |= 1 << number

    def met(self, facts: Iterable[Fact]) -> Rules:
        """The rules whose condition holds, those that have none included."""
        rules = self.absent
        for fact in facts:
            rules |= self.by_fact.get(fact, 0)
        return rules


class Engine:
    """The rules, compiled."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self.worded = sum(rule.file in WORDED for rule in rules)  # so many of the first ones
        self._words = PatternSet(p for rule in rules for p in (*rule.text, *rule.also, *rule.unless))
        self._whole = PatternSet(p for rule in rules for p in rule.raw)
        word, whole = self._words.number.__getitem__, self._whole.number.__getitem__
        text, also, unless = (
            Condition(map(word, patterns) for patterns in column)
            for column in zip(*((rule.text, rule.also, rule.unless) for rule in rules), strict=True)
        )
        self._by_words = (text.absent, also.absent)
        self._by_word = [
            (text.by_fact[number], also.by_fact[number], unless.by_fact[number])
            for number in self._words.number.values()
        ]  # for each pattern the rules that name it
        self._raw = Condition(map(whole, rule.raw) for rule in rules)
        self._status = Condition(rule.status for rule in rules)
        self._code = Condition(rule.code for rule in rules)
        self._host = Condition(rule.host for rule in rules)
        self._refusal = Condition(filter(None, [rule.refusal]) for rule in rules)
        # Without names and numbers, the same words come again and again, and with the same codes decide the same.
        self._phrases_in = lru_cache(maxsize=REMEMBERED)(self._words.found_in)
        self._decided = lru_cache(maxsize=REMEMBERED)(self._decide)

    def first(self, *, text: str, status: str | None, code: int | None, host: str | None, refusal: str) -> int:
        """The number of the first rule of which every condition holds; the last rule of all has none."""
        told = words(text)
        own_status = find_status(text)
        return self._decided(
            self._phrases_in(told) if len(told) < LONG else self._words.found_in(told),
            self._whole.found_in(text.lower()),
            (own_status, status) if own_status != status else (status,),
            code,
            self._host.met(_host_facts(host)) if host else self._host.absent,
            refusal,
        )

    def _decide(
        self,
        words_found: tuple[int, ...],
        whole_found: tuple[int, ...],
        statuses: tuple[str | None, ...],
        code: int | None,
        met: Rules,
        refusal: str,
    ) -> int:
        (by_text, by_also), barred = self._by_words, 0
        for number in words_found:
            named_in_text, named_in_also, named_in_unless = self._by_word[number]
            by_text |= named_in_text
            by_also |= named_in_also
            barred |= named_in_unless
        met &= by_text & by_also & ~barred & self._raw.met(whole_found) & self._refusal.met((refusal,))
        met &= self._status.met(fact for status in statuses if status is not None for fact in _status_facts(status))
        met &= self._code.met(() if code is None else (code,))
        return (met & -met).bit_length() - 1


@cache
def _engine() -> Engine:
    return Engine(load_rules())
