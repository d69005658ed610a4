"""Asking name servers, within a time limit for everything that is asked together."""

import time
from collections.abc import Sequence
from typing import Any

import dns.exception
import dns.name
import dns.nameserver
import dns.resolver

from bounced.config import NameServer
from bounced.errors import BouncedError
from bounced.send.reply import printable

SECONDS = 20.0  # for one check with all its queries (RFC 7208 §4.6.4)
PER_QUERY = 6.0  # for one of them, all name servers together
PER_TRY = 2.0  # for one name server's answer; UDP may lose a packet
MAX_RECORDS = 100  # of one answer
MAX_NAME = 253  # characters
MAX_TEXT = 8_192  # octets of one TXT record; SPF's should not exceed 450 (RFC 7208 §3.4)


class DnsError(BouncedError):
    """No name server gave an answer: it is not known what there is, and may be known later."""


class Resolver:
    """Asks for records.  What is not there is an empty answer, what cannot be a name either."""

    def __init__(self, servers: Sequence[NameServer], *, seconds: float = SECONDS) -> None:
        """`servers`: empty for the system's; `seconds`: for all queries, counted from now.

        raises   DnsError: the system has none
        """
        try:
            self._resolver = dns.resolver.Resolver(configure=not servers)
        except dns.resolver.NoResolverConfiguration:
            raise DnsError("the system names no name server: set resolver in [send]") from None
        if servers:
            self._resolver.nameservers = [dns.nameserver.Do53Nameserver(one.address, one.port) for one in servers]
        self._resolver.timeout = PER_TRY
        self._ends = time.monotonic() + seconds

    def addresses(self, name: str, kind: str) -> list[str]:
        """Its IP addresses; `kind`: A or AAAA.

        raises   DnsError
        """
        return [record.address for record in self._ask(name, kind)]

    def exchanges(self, name: str) -> list[tuple[int, str]]:
        """Its mail servers with their preferences; a null MX has the name "" (RFC 7505).

        raises   DnsError
        """
        return [(record.preference, _text(record.exchange)) for record in self._ask(name, "MX")]

    def names(self, reverse: str) -> list[str]:
        """The names of an address; `reverse`: 1.2.0.192.in-addr.arpa.

        raises   DnsError
        """
        return [_text(record.target) for record in self._ask(reverse, "PTR")]

    def texts(self, name: str) -> list[bytes]:
        """Its TXT records, the strings of each put together, with at most MAX_TEXT octets each: one more tells that
        something was cut off.

        raises   DnsError
        """
        return [b"".join(record.strings)[: MAX_TEXT + 1] for record in self._ask(name, "TXT")]

    def _ask(self, name: str, kind: str) -> list[Any]:
        try:
            asked = dns.name.from_text(name)
        except (dns.exception.DNSException, UnicodeError):
            return []
        left = self._ends - time.monotonic()
        if left <= 0:
            raise DnsError("the name servers took too long")
        try:
            answer = self._resolver.resolve(asked, kind, raise_on_no_answer=False, lifetime=min(left, PER_QUERY))
        except dns.resolver.NXDOMAIN:
            return []
        except dns.exception.Timeout:
            raise DnsError(f"no name server answered in time ({kind} of {_shown(name)})") from None
        except dns.exception.DNSException:
            raise DnsError(f"the name servers failed ({kind} of {_shown(name)})") from None
        return list(answer)[:MAX_RECORDS]


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True)


def _shown(name: str) -> str:
    return printable(name)[:MAX_NAME]
