"""Each cause in words: what it means, what to do, who must do it.  The words are data, one file per language."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from parsers.causes.cause import Cause

LANGUAGES = ("en", "et")
POINTS_TO_SPF = re.compile(r"\bspf\b|sender policy framework", re.I)


@dataclass(frozen=True, slots=True)
class CauseText:
    """What support reads about one cause."""

    title: str
    explanation: str
    remedy: str
    who: str  # "recipient", "recipient-admin", "user", "company-admin", "directo" or "nobody"
    who_name: str  # the same in words


def describe(
    cause: Cause,
    language: str = "en",
    *,
    rule: str | None = None,
    text: str | None = None,
    relay_address: str = "90.190.150.212",
    event_domain: str = "event.data.directo.ee",
) -> CauseText:
    """The cause in words.

    language       one of LANGUAGES
    rule           the rule that decided: some know better than their cause what to do
    text           the diagnostic: where it points to SPF, so does the remedy
    relay_address  Directo's server, which SPF must permit
    raises         KeyError for a language that there is none of
    """
    texts = _texts(language)
    entry = texts[cause] | texts["rule"].get(rule, {})
    remedy = entry["remedy"]
    if "remedy_spf" in entry and text is not None and POINTS_TO_SPF.search(text):
        remedy = entry["remedy_spf"]
    return CauseText(
        title=entry["title"],
        explanation=entry["explanation"],
        remedy=remedy.format(relay_address=relay_address, event_domain=event_domain),
        who=entry["who"],
        who_name=texts["who"][entry["who"]],
    )


@cache
def _texts(language: str) -> dict[str, Any]:
    if language not in LANGUAGES:
        raise KeyError(language)
    with Path(__file__).with_name(f"texts.{language}.toml").open("rb") as stream:
        return tomllib.load(stream)
