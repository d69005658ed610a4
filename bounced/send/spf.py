"""Whether a domain's SPF record permits a server to send its mail (RFC 7208).

pyspf evaluates the record; asking name servers is ours: within a time limit, of the configured ones, without a global
setting.  What a domain publishes is bounded before pyspf sees it, and none of it is shown as it came.
"""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

import spf

from bounced import network
from bounced.send.resolver import MAX_TEXT, DnsError, Resolver


class SpfResult(StrEnum):
    """What an evaluation comes to (RFC 7208 §2.6)."""

    PASS = "pass"  # noqa: S105  no password
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    NONE = "none"  # there is no record
    PERMERROR = "permerror"  # the record is wrong
    TEMPERROR = "temperror"  # it could not be found out


@dataclass(frozen=True, slots=True)
class SpfAnswer:
    """What came of it."""

    result: SpfResult
    problem: str = ""  # one clean line, where the result is an error


def check_spf(resolver: Resolver, sender: str, address: IPv4Address | IPv6Address) -> SpfAnswer:
    """Whether the server at `address` may send with that envelope sender.

    sender   an address in its envelope form: its domain is ASCII
    raises   nothing
    """
    query = _Query(resolver, sender, address)
    try:
        result, _, explanation = query.check()
    except DnsError as error:
        return SpfAnswer(SpfResult.TEMPERROR, str(error))
    except ValueError:  # such as a number of too many digits
        return SpfAnswer(SpfResult.PERMERROR, "the record cannot be read")
    problem = ""
    if result in (SpfResult.PERMERROR, SpfResult.TEMPERROR):
        problem = network.clean(explanation.partition(": ")[2])
    return SpfAnswer(SpfResult(result), problem)


class _Query(spf.query):  # type: ignore[misc]  # pyspf has no types
    """pyspf's evaluation over our resolver."""

    def __init__(self, resolver: Resolver, sender: str, address: IPv4Address | IPv6Address) -> None:
        super().__init__(str(address), sender, sender.rpartition("@")[2], strict=True)
        self._resolver = resolver

    def dns(self, name: str, qtype: str, cnames: object = None, ignore_void: bool = False) -> list[object]:  # noqa: ARG002  pyspf's own way to follow aliases; resolvers do that
        """Called by pyspf for every query: the records' values, and TXT as lists of strings."""
        key = (name.lower(), qtype)
        if key not in self.cache:
            self.cache[key] = self._ask(name, qtype)
        found: list[object] = self.cache[key]
        if not found and not ignore_void:
            self.void_lookups += 1
            if self.void_lookups > spf.MAX_VOID_LOOKUPS:
                raise spf.PermError(f"more than {spf.MAX_VOID_LOOKUPS} of the names in the record do not exist")
        return found

    def get_explanation(self, spec: str) -> None:
        """Called by pyspf for exp=: it is for whom mail is refused, so it is not asked for."""

    def _ask(self, name: str, qtype: str) -> list[object]:
        match qtype:
            case "A" | "AAAA":
                return [*self._resolver.addresses(name, qtype)]
            case "MX":
                return [*self._resolver.exchanges(name)]
            case "PTR":
                return [*self._resolver.names(name)]
        texts = self._resolver.texts(name)
        if any(len(text) > MAX_TEXT and spf.RE_SPF.match(text) for text in texts):
            raise spf.PermError(f"the record is longer than {MAX_TEXT} octets")
        return [[text] for text in texts]
