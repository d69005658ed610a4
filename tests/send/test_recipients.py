"""Recipients are read as they were meant, or refused with a reason; nothing is sent to an address nobody wrote."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bounced.errors import InputError
from bounced.send.recipients import MAX_ADDRESS, Recipient, Unusable, ascii_domain, read, read_all

LONG_DOMAIN = ".".join(["d" * 60] * 3)  # 182 octets


@pytest.mark.parametrize(
    ("written", "name", "address", "envelope"),
    [
        ("mari@example.com", None, "mari@example.com", "mari@example.com"),
        (" <mari@example.com> ", None, "mari@example.com", "mari@example.com"),
        ("Mari Mets <mari@example.com>", "Mari Mets", "mari@example.com", "mari@example.com"),
        ("Mari<mari@example.com>", "Mari", "mari@example.com", "mari@example.com"),
        ("Mets, Mari <mari@example.com>", "Mets, Mari", "mari@example.com", "mari@example.com"),
        ('"Mets, Mari" <mari@example.com>', "Mets, Mari", "mari@example.com", "mari@example.com"),
        (r'"OÜ \"Õie\" \\ <1>" <mari@example.com>', r'OÜ "Õie" \ <1>', "mari@example.com", "mari@example.com"),
        ('OÜ "Õie" <mari@example.com>', 'OÜ "Õie"', "mari@example.com", "mari@example.com"),
        ('" Mari " < mari@example.com >', "Mari", "mari@example.com", "mari@example.com"),
        ('"" <mari@example.com>', None, "mari@example.com", "mari@example.com"),
        ("=?utf-8?q?a?= <mari@example.com>", "=?utf-8?q?a?=", "mari@example.com", "mari@example.com"),
        ("Mari.Mets+x@Example.COM", None, "Mari.Mets+x@Example.COM", "Mari.Mets+x@example.com"),
        ("o'neil/a=b%c!d@example.com", None, "o'neil/a=b%c!d@example.com", "o'neil/a=b%c!d@example.com"),
        ('"mari mets"@example.com', None, '"mari mets"@example.com', '"mari mets"@example.com'),
        ('M <"a,b@c"@example.com>', "M", '"a,b@c"@example.com', '"a,b@c"@example.com'),
        ("mari@a_b.example.com", None, "mari@a_b.example.com", "mari@a_b.example.com"),
        ("mari@ab--cd.example.com", None, "mari@ab--cd.example.com", "mari@ab--cd.example.com"),
        ("mari@xn--nide-loa.example", None, "mari@xn--nide-loa.example", "mari@xn--nide-loa.example"),
        ("mari@näide.example", None, "mari@näide.example", "mari@xn--nide-loa.example"),
        ("mari@NÄIDE.example", None, "mari@NÄIDE.example", "mari@xn--nide-loa.example"),
        ("mari@faß.example", None, "mari@faß.example", "mari@xn--fa-hia.example"),
        ("jõgi@example.com", None, "jõgi@example.com", "jõgi@example.com"),
        ("jo\u0303gi@example.com", None, "jo\u0303gi@example.com", "jõgi@example.com"),
        ("Мария <мария@почта.example>", "Мария", "мария@почта.example", "мария@xn--80a1acny.example"),
        ("a" * 64 + "@example.com", None, "a" * 64 + "@example.com", "a" * 64 + "@example.com"),
        ("a@" + "d" * 63 + ".example", None, "a@" + "d" * 63 + ".example", "a@" + "d" * 63 + ".example"),
    ],
)
def test_read(written: str, name: str | None, address: str, envelope: str):
    """Name and address come apart; only the local part may keep a server from being told it in ASCII."""
    assert read(written) == Recipient(name=name, address=address, envelope=envelope)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "no @"),
        ("mari", "no @"),
        ("Mari Mets <>", "no @"),
        ("@example.com", "nothing before its @"),
        ("mari@", "domain is not valid"),
        ('""@example.com', "blank or another character"),
        ("mari@example.com\r\nBcc: eve@example.org", r"U\+000D"),
        ("mari@example.com\n", r"U\+000A"),
        ("\0mari@example.com", r"U\+0000"),
        ("Mari\x1b[31m <mari@example.com>", r"U\+001B"),
        ("Mari\u2028 <mari@example.com>", r"U\+2028"),
        ("Mari\ud800 <mari@example.com>", r"U\+D800"),
        ("mari@example.com\udcff", r"U\+DCFF"),
        ("ma\u200bri@example.com", "invisible"),
        ("ma\u202eri@example.com", "invisible"),
        ("ma\u00a0ri@example.com", "invisible"),
        ("mari mets@example.com", "blank or another character"),
        ("mari(x)@example.com", "blank or another character"),
        ("mailto:mari@example.com", "blank or another character"),
        ("https://mari@example.com", "blank or another character"),
        ("mari@example.com, eve@example.org", "more than one"),
        ("mari@example.com; eve@example.org", "more than one"),
        ("mari@eve@example.org", "more than one"),
        ("Mari <mari@example.com>, Eve <eve@example.org>", "more than one"),
        ("mari@example.com>", "domain is not valid"),
        ("mari@example.com (Mari)", "domain is not valid"),
        (".mari@example.com", "not written as an address"),
        ("mari..mets@example.com", "not written as an address"),
        ("a" * 65 + "@example.com", "64 octets"),
        ("\u0958" * 20 + "@example.com", "64 octets"),  # takes twice the octets in its normal form
        ("õ" * 33 + "@example.com", "64 octets"),
        ("a" * 64 + "@" + LONG_DOMAIN + ".example", "254 octets"),
        ("a@" + ".".join(["d" * 60] * 5), "255 octets"),
        ("a@" + "õ" * 300 + ".example", "255 octets"),
        ("a@" + "d" * 64 + ".example", "domain is not valid"),
        ("a@" + "õ" * 62 + ".example", "domain is not valid"),
        ("a@xn--zzzzzzzzzzz.example", "not written as an address"),
        ("a@☃.example", "domain is not valid"),
        ("a@-x.example", "domain is not valid"),
        ("a@x-.example", "domain is not valid"),
        ("a@x..example", "domain is not valid"),
        ("a@example.com.", "domain is not valid"),
        ("a@example", "no dot"),
        ("a@192.0.2.1", "a number"),
        ("a@[192.0.2.1]", "domain is not valid"),
    ],
)
def test_refused(written: str, reason: str):
    """Each flaw has its reason, which can be shown anywhere."""
    refused = read(written)
    assert isinstance(refused, Unusable)
    assert refused.written == written
    assert re.search(reason, refused.reason)
    assert refused.reason.isprintable()
    assert refused.reason.isascii()


def test_each_once():
    """Whoever is named twice, in whatever case and form of the domain, gets one message; two local parts stay two."""
    recipients = read_all(
        [
            "Mari <mari@näide.example>",
            "nobody",
            "MARI@XN--NIDE-LOA.example",
            "mari@NÄIDE.example",
            "Jõgi@example.com",
            "jÕGI@Example.com",
            "straße@example.com",
            "strasse@example.com",
            "nobody",
        ]
    )
    assert [(one.name, one.envelope) for one in recipients.usable] == [
        ("Mari", "mari@xn--nide-loa.example"),
        (None, "Jõgi@example.com"),
        (None, "straße@example.com"),
        (None, "strasse@example.com"),
    ]
    assert [one.written for one in recipients.unusable] == ["nobody", "nobody"]


@given(st.text(max_size=400) | st.from_regex(r"[^@]{0,70}@[^@]{0,70}\.[a-z]{1,3}", fullmatch=True))
@example("a@b.example\r\nBcc: c@d.example")
@example(" " * 100_000 + "<")
@example('"' + "\\" * 99_999 + '" <a@example.com>')
@example("<" * 100_000 + "a@example.com" + ">" * 100_000)
@example("a@" + "\u0301" * 255)
def test_whatever_is_written(written: str):
    """Anything is read or refused, in time; what is read is written in what was handed in, and can be told a server."""
    match read(written):
        case Recipient() as recipient:
            assert recipient.address in written
            local, _, domain = recipient.envelope.rpartition("@")
            assert domain.isascii()
            assert recipient.envelope.isprintable()
            assert len(local.encode()) <= 64
            assert len(recipient.envelope.encode()) <= MAX_ADDRESS
            assert read(recipient.envelope) == Recipient(
                name=None, address=recipient.envelope, envelope=recipient.envelope
            )
        case Unusable() as refused:
            assert refused.reason.isprintable()


@given(
    name=st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])).map(str.strip),
    local=st.from_regex(r"[A-Za-z0-9õäöüа-я+_-]{1,30}", fullmatch=True),
)
def test_a_quoted_name(name: str, local: str):
    """Any name comes out of its quotation marks as it went in."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    recipient = read(f'"{quoted}" <{local}@example.com>')
    assert isinstance(recipient, Recipient)
    assert (recipient.name, recipient.envelope) == (name or None, f"{local}@example.com")


def test_domains():
    """A domain is made ASCII, or refused."""
    assert ascii_domain("Näide.Example.ORG") == "xn--nide-loa.example.org"
    with pytest.raises(InputError, match="no dot"):
        ascii_domain("localhost")
