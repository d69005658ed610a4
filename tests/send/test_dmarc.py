"""bounced.send.dmarc, against a DNS server."""

import pytest

from bounced.config import NameServer
from bounced.send.dmarc import Dmarc, Policy, find_dmarc
from bounced.send.resolver import DnsError, Resolver
from tests.servers.dns import Dns


@pytest.fixture
def find(dns: Dns):
    """Looks for a domain's policy."""
    return lambda domain: find_dmarc(Resolver([NameServer("127.0.0.1", dns.port)]), domain)


@pytest.mark.parametrize(
    ("record", "policy"),
    [
        ("v=DMARC1; p=none", "none"),
        ("v=DMARC1; p=quarantine; rua=mailto:a@example.com", "quarantine"),
        ("v = DMARC1 ;P=REJECT;", "reject"),
        ("v=DMARC1; p=reject; t=y", "quarantine"),
        ("v=DMARC1; p=quarantine; t=y", "none"),
        ("v=DMARC1; p=reject; sp=none", "reject"),
        ("v=DMARC1; p=reject; p=none", "reject"),
        ("v=DMARC1", "none"),
        ("v=DMARC1; p=ban", "none"),
        ("v=DMARC1; \x1b[31m\xff=\xff; p=reject", "reject"),
    ],
)
def test_own_record(find, dns: Dns, record: str, policy: str):
    """What a domain's own record asks for; what is no policy asks for nothing."""
    dns.put("_dmarc.example.com", "TXT", "unrelated", record)
    assert find("Example.com") == Dmarc(Policy(policy), "example.com")


@pytest.mark.parametrize(
    "records",
    [
        (),
        ("v=DMARC10; p=reject",),
        ("v=dmarc1; p=reject",),
        ("p=reject; v=DMARC1",),
        ("v=DMARC1; p=reject", "v=DMARC1; p=none"),
        ("v=DMARC1; p=reject;" + "x" * 60_000,),
    ],
)
def test_no_record(find, dns: Dns, records: tuple[str, ...]):
    """What is no record, several of them, and an endless one count as none."""
    dns.put("_dmarc.example.com", "TXT", *records)
    assert find("example.com") is None


@pytest.mark.parametrize(
    ("records", "found"),
    [
        ({"example.com": "p=reject; sp=quarantine"}, ("quarantine", "example.com")),
        ({"example.com": "p=reject"}, ("reject", "example.com")),
        ({"b.example.com": "p=none", "example.com": "p=reject"}, ("reject", "example.com")),
        ({"b.example.com": "p=none; psd=n", "example.com": "p=reject"}, ("none", "b.example.com")),
        ({"example.com": "p=none", "com": "p=reject; psd=y"}, ("none", "example.com")),
        ({"b.example.com": "p=none", "com": "p=reject; psd=y"}, ("reject", "com")),
        ({"com": "p=reject; psd=y"}, ("reject", "com")),
    ],
)
def test_walk_up_the_tree(find, dns: Dns, records: dict[str, str], found: tuple[str, str]):
    """A domain without a record has its organization's, which is found as RFC 9989 §4.10 says."""
    for domain, tags in records.items():
        dns.put(f"_dmarc.{domain}", "TXT", f"v=DMARC1; {tags}")
    assert find("a.b.example.com") == Dmarc(Policy(found[0]), found[1])


def test_walk_is_short(find, dns: Dns):
    """At most eight queries, however many labels a domain has."""
    assert find(".".join("abcdefghijklmno")) is None
    assert [name.count(".") for name, _ in dns.asked] == [15, 7, 6, 5, 4, 3, 2, 1]


def test_server_failure(find, dns: Dns):
    """Not known is not none."""
    dns.failing.add("_dmarc.example.com")
    with pytest.raises(DnsError, match="the name servers failed"):
        find("example.com")
