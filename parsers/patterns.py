r"""Patterns that RE2 looks for: all of a set in one pass over the text, in linear time whatever the text.

A set only tells which patterns are there, not where.  For RE2, \b and \w know ASCII only.  A set cannot fail silently
here: too little memory is an error when it is built; while matching, RE2 only empties its cache of states and goes on.
"""

from collections.abc import Iterable, Iterator

import re2

SET_MEMORY = 16 << 20
"""Bytes that one set of patterns may take, its cache of automaton states included."""


class PatternSet:
    """Patterns matched all at once; each distinct one has a number."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Compile.  Raises re2.error for a wrong pattern or too little memory."""
        options = re2.Options()
        options.max_mem = SET_MEMORY
        options.never_capture = True
        options.log_errors = False
        self._set = re2.Set.SearchSet(options)
        self.number: dict[str, int] = {pattern: self._set.Add(pattern) for pattern in dict.fromkeys(patterns)}
        self._set.Compile()

    def found_in(self, text: str) -> tuple[int, ...]:
        """The numbers of the patterns found."""
        return tuple(self._set.Match(text.encode("utf-8", "replace")) or ())


class Phrases:
    """Words of which one may stand in a text, in any case."""

    def __init__(self, pattern: str) -> None:
        self._set = PatternSet([f"(?i){pattern}"])
        self._pattern = re2.compile(f"(?i){pattern}")

    def found_in(self, text: str) -> bool:
        """Whether one of them does."""
        return bool(self._set.found_in(text))

    def places(self, text: str) -> Iterator[tuple[int, int]]:
        """Where in `text` each of them begins and ends, from left to right; ten times as slow as `found_in`."""
        readable = text.encode("utf-8", "replace").decode()  # RE2 refuses lone surrogates; no place is moved by this
        return (found.span() for found in self._pattern.finditer(readable))
