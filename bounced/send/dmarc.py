"""What a domain asks receivers to do with mail that is not authenticated as its own: its DMARC policy (RFC 9989).

We sign nothing with DKIM, and in every mode the From has the envelope sender's domain.  So our mail passes DMARC where
that domain's SPF record permits the server, and nowhere else, unless the server signs it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bounced.send.resolver import MAX_TEXT, Resolver

MAX_LABELS = 8  # that the walk up the tree asks for, but for the domain itself (RFC 9989 §4.10)
RECORD = re.compile(rb"[vV][ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")  # RFC 9989 §4.8


class Policy(StrEnum):
    """What a domain asks for."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"


MILDER = {Policy.REJECT: Policy.QUARANTINE, Policy.QUARANTINE: Policy.NONE, Policy.NONE: Policy.NONE}
"""What holds while a domain tests its policy, t=y (RFC 9989 §4.7)."""


@dataclass(frozen=True, slots=True)
class Dmarc:
    """A policy, and the domain that published it."""

    policy: Policy
    domain: str


def find_dmarc(resolver: Resolver, domain: str) -> Dmarc | None:
    """The policy that holds for mail from a domain; None: there is none.

    domain   ASCII
    raises   DnsError
    """
    walked = list(_records(resolver, domain.lower().rstrip(".")))
    if not walked:
        return None
    above, tags = walked[0]
    if above == domain.lower().rstrip("."):
        return Dmarc(_policy(tags, "p"), above)
    above, tags = walked[-1]
    if tags.get("psd") == "y" and len(walked) > 1 and walked[-2][0].partition(".")[2] == above:
        above, tags = walked[-2]  # a registry's domain is not the organization's
    return Dmarc(_policy(tags, "sp", "p"), above)


def _records(resolver: Resolver, domain: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The record of the domain and of each above it that has one, up to the organization's (RFC 9989 §4.10)."""
    labels = domain.split(".")
    above = [labels[start:] for start in range(1, len(labels)) if len(labels) - start < MAX_LABELS]
    for names in (labels, *above):
        name = ".".join(names)
        found = [text for text in resolver.texts(f"_dmarc.{name}") if RECORD.match(text) and len(text) <= MAX_TEXT]
        if len(found) != 1:  # several are none
            continue
        tags = _tags(found[0].decode("ascii", "replace"))
        yield name, tags
        if tags.get("psd") == "n" or (tags.get("psd") == "y" and names is not labels):
            return


def _tags(record: str) -> dict[str, str]:
    """Names and values in lower case; the first of a name counts."""
    tags: dict[str, str] = {}
    for part in record.split(";"):
        name, equals, value = part.partition("=")
        if equals:
            tags.setdefault(name.strip().lower(), value.strip().lower())
    return tags


def _policy(tags: Mapping[str, str], *names: str) -> Policy:
    """The first of these tags that is there; one that is not valid asks for nothing (RFC 9989 §4.10.1)."""
    value = next((tags[name] for name in names if name in tags), "none")
    policy = Policy(value) if value in list(Policy) else Policy.NONE
    return MILDER[policy] if tags.get("t") == "y" else policy
