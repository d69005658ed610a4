"""bounced.send.spf and resolver, against a DNS server on UDP and TCP."""

import time
from ipaddress import ip_address

import pytest

from bounced import network
from bounced.config import NameServer
from bounced.send.resolver import MAX_TEXT, DnsError, Resolver
from bounced.send.spf import SpfAnswer, SpfResult, check_spf
from tests.servers.dns import Dns

ADDRESS = "192.0.2.25"


@pytest.fixture
def check(dns: Dns):
    """Evaluates example.com's record."""

    def run(record: str | None = None, address: str = ADDRESS, sender: str = "mari@example.com", **how) -> SpfAnswer:
        if record is not None:
            dns.put("example.com", "TXT", "unrelated", record)
        return check_spf(Resolver([NameServer("127.0.0.1", dns.port)], **how), sender, ip_address(address))

    return run


@pytest.mark.parametrize(
    ("record", "result"),
    [
        ("v=spf1 ip4:192.0.2.25 -all", "pass"),
        ("v=spf1 ip4:192.0.2.0/24 -all", "pass"),
        ("v=spf1 ip4:192.0.2.26 -all", "fail"),
        ("v=spf1 ~all", "softfail"),
        ("v=spf1 ?all", "neutral"),
        ("v=spf1 ip4:192.0.2.26", "neutral"),
        ("V=SPF1 IP4:192.0.2.25 -ALL", "pass"),
        ("spf1 ip4:192.0.2.25", "none"),
        ("v=spf10 -all", "none"),
        ("v=spf1 ip4:192.0.2.25.1 -all", "permerror"),
        ("v=spf1 ipv4:192.0.2.25 -all", "permerror"),
        ("v=spf1 a:host.example.org -all", "pass"),
        ("v=spf1 a:host.example.org/28 -all", "pass"),
        ("v=spf1 mx:example.org -all", "pass"),
        ("v=spf1 ptr:example.org -all", "pass"),
        ("v=spf1 include:good.example.org -all", "pass"),
        ("v=spf1 include:bad.example.org ~all", "softfail"),
        ("v=spf1 include:none.example.org -all", "permerror"),
        ("v=spf1 redirect=bad.example.org", "fail"),
        ("v=spf1 redirect=none.example.org", "permerror"),
        ("v=spf1 exists:%{ir}.%{l1r+-}.spf.%{d} -all", "pass"),
        ("v=spf1 exists:%{x}.example.org -all", "permerror"),
        ("v=spf1 exp=none.example.org -all", "fail"),
    ],
)
def test_results(check, dns: Dns, record: str, result: str):
    """Each mechanism and modifier gives the result that RFC 7208 §5 and §6 say."""
    dns.put("host.example.org", "A", "192.0.2.24", ADDRESS)
    dns.put("example.org", "MX", "10 other.example.org.", "20 host.example.org.")
    dns.put("other.example.org", "A", "192.0.2.99")
    dns.put("25.2.0.192.in-addr.arpa", "PTR", "host.example.org.")
    dns.put("good.example.org", "TXT", "v=spf1 ip4:192.0.2.25 -all")
    dns.put("bad.example.org", "TXT", "v=spf1 -all")
    dns.put("none.example.org", "TXT", "nothing")
    dns.put("25.2.0.192.mari.spf.example.com", "A", "127.0.0.2")
    assert check(record).result == result


@pytest.mark.parametrize(("address", "result"), [("2001:db8::25", "pass"), ("2001:db8::26", "fail")])
def test_ipv6(check, dns: Dns, address: str, result: str):
    """IPv6 servers are compared with ip6 and AAAA."""
    dns.put("host.example.org", "AAAA", "2001:db8::25")
    assert check("v=spf1 ip6:2001:db8:1::/48 a:host.example.org -all", address).result == result


def test_no_record(check):
    """A domain without a record, and one that does not exist, say nothing."""
    assert check("unrelated").result is SpfResult.NONE
    assert check(sender="mari@missing.example").result is SpfResult.NONE


def test_two_records(check, dns: Dns):
    """Two records are an error of the domain's (RFC 7208 §4.5)."""
    dns.put("example.com", "TXT", "v=spf1 -all", "v=spf1 ip4:192.0.2.25 -all")
    assert check().result is SpfResult.PERMERROR


@pytest.mark.parametrize(("includes", "result"), [(10, "pass"), (11, "permerror")])
def test_lookups(check, dns: Dns, includes: int, result: str):
    """Ten lookups are allowed, an eleventh is an error (RFC 7208 §4.6.4)."""
    for number in range(includes):
        dns.put(f"{number}.example.org", "TXT", "v=spf1 -all")
    terms = " ".join(f"include:{number}.example.org" for number in range(includes))
    assert check(f"v=spf1 {terms} ip4:{ADDRESS} -all").result == result


def test_void_lookups(check, dns: Dns):
    """Two names may be missing, a third is an error; a name that fails twice counts twice."""
    assert check("v=spf1 a:a.example.org a:b.example.org +all").result is SpfResult.PASS
    answer = check("v=spf1 a:a.example.org a:b.example.org a:c.example.org +all")
    assert answer == SpfAnswer(SpfResult.PERMERROR, "more than 2 of the names in the record do not exist")


def test_loop(check, dns: Dns):
    """Records that include each other come to an end."""
    dns.put("a.example.org", "TXT", "v=spf1 include:b.example.org -all")
    dns.put("b.example.org", "TXT", "v=spf1 include:a.example.org -all")
    assert check("v=spf1 include:a.example.org -all").result is SpfResult.PERMERROR


def test_server_failure(check, dns: Dns):
    """SERVFAIL is not an answer, at whatever depth."""
    dns.failing.add("bad.example.org")
    answer = check("v=spf1 include:bad.example.org -all")
    assert answer == SpfAnswer(SpfResult.TEMPERROR, "the name servers failed (TXT of bad.example.org)")


def test_silence(check, dns: Dns):
    """A server that does not answer is given up, for the whole check once its time is over."""
    dns.silent |= {"example.com"}
    started = time.monotonic()
    answer = check(seconds=0.2)
    assert answer == SpfAnswer(SpfResult.TEMPERROR, "no name server answered in time (TXT of example.com)")
    assert time.monotonic() - started < 5
    assert check(seconds=0).problem == "the name servers took too long"


def test_long_record_comes_by_tcp(check, dns: Dns):
    """What does not fit into a UDP answer is asked for once more, by TCP."""
    record = f"v=spf1 {' '.join(f'ip4:198.51.100.{number}' for number in range(200))} ip4:{ADDRESS} -all"
    assert check(record).result is SpfResult.PASS
    assert dns.asked == [("example.com", "TXT")] * 2


@pytest.mark.parametrize(
    "record",
    [
        f"v=spf1 {'a ' * 30_000}-all",
        "v=spf1 ip4:192.0.2.25/" + "9" * 7_000,
        "v=spf1 a:%{d" + "9" * 5_000 + "}.example.org",
        "v=spf1 " + "%{" * 2_000,
        "v=spf1 a:\x1b]0;owned\x07.example.org -all",
        "v=spf1 \x1b[31m\u00ff -all",
        "v=spf1 moo\x00\r\nWRONG everything -all",
        "v=spf1 " + "x" * 1_000,
        "v=spf1 include:" + "a" * 64 + ".example.org -all",
        "v=spf1 a:" + "a.\\" * 100 + "org -all",
    ],
)
def test_hostile_records(check, record: str):
    """Whatever a record holds, it ends soon and leaves one clean, short line."""
    started = time.monotonic()
    answer = check(record)
    assert answer.result in (SpfResult.PERMERROR, SpfResult.FAIL)
    assert answer.problem.isprintable()
    assert len(answer.problem) <= network.MAX_TEXT + len("...")
    assert time.monotonic() - started < 5


def test_only_long_records_of_spf_matter(check, dns: Dns):
    """An unrelated TXT record of 60,000 octets hides no SPF record; as one it is refused."""
    dns.put("example.com", "TXT", "x" * 50_000, f"v=spf1 ip4:{ADDRESS} -all")
    assert check().result is SpfResult.PASS
    assert check("v=spf1 " + "x" * 60_000).problem == f"the record is longer than {MAX_TEXT} octets"


def test_no_name_server(dns: Dns):
    """Where nobody listens, it is not known what there is."""
    dns.close()
    with pytest.raises(DnsError):
        Resolver([NameServer("127.0.0.1", dns.port)], seconds=0.3).texts("example.com")
