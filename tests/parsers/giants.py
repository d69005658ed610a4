"""Messages of any size, each built to cost a parser time or memory at another place."""

from base64 import encodebytes
from collections.abc import Callable

HEAD = b"From: MAILER-DAEMON@example.org\nTo: acme@event.data.example.net\nSubject: Undelivered mail\n"
MIXED = HEAD + b"Content-Type: multipart/mixed; boundary=b\n\n"
REPORT = HEAD + b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\n"
GROUPS = b"\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.org\n\n"
STATUS = REPORT + b"It failed.\n" + GROUPS
GROUP = b"Final-Recipient: rfc822; a%d@example.com\nAction: failed\nStatus: 5.0.0\n\n"
PROSE = b"The mail could not be delivered to a@example.com: 550 5.1.1 <a@example.com>: user unknown\n"
DELAYED = GROUP.replace(b"failed", b"delayed")
EXIM = b"This message was created automatically by x\n\naddress(es) failed:\n\n"
MEGABYTE = 1_000_000

Giant = Callable[[int], bytes]
"""Builds a message of about so many octets."""


def filled(unit: bytes, size: int) -> bytes:
    """`unit` again and again."""
    return unit * max(1, size // len(unit))


def numbered(unit: bytes, size: int) -> bytes:
    """The same, with another number each time."""
    return b"".join(unit % number for number in range(max(1, size // len(unit % 100_000))))


def text(kind: bytes, unit: bytes, begin: bytes = b"") -> Giant:
    """A mail of one part; the unit may hold a number."""
    fill = numbered if b"%d" in unit else filled
    return lambda size: HEAD + b"Content-Type: " + kind + b"\n\n" + begin + fill(unit, size)


def plain(begin: bytes, unit: bytes) -> Giant:
    """A text that begins as a known layout does."""
    return text(b"text/plain", unit, begin)


def header(begin: bytes, unit: bytes) -> Giant:
    """A mail of nothing but a header."""
    fill = numbered if b"%d" in unit else filled
    return lambda size: begin + fill(unit, size) + b"\n\nx"


def parts(head: bytes, unit: bytes, each: int = MEGABYTE - 200) -> Giant:
    """A mail of parts of `each` octets."""
    fill = numbered if b"%d" in unit else filled
    return lambda size: MIXED + filled(b"--b\n" + head + b"\n\n" + fill(unit, min(each, size)) + b"\n", size)


def html(unit: bytes) -> Giant:
    """Pages, each as long as is read of one."""
    return parts(b"Content-Type: text/html", unit)


def charset(name: bytes, octets: bytes) -> Giant:
    """Texts in a charset in which the octets mean nothing."""
    return parts(b"Content-Type: text/plain; charset=" + name, octets)


def status(unit: bytes) -> Giant:
    """A delivery report of one part."""
    fill = numbered if b"%d" in unit else filled
    return lambda size: STATUS + fill(unit, size)


def field(begin: bytes, unit: bytes) -> Giant:
    """A delivery report with one long field for all its recipients."""
    return lambda size: (
        STATUS[:-1] + begin + filled(unit, min(size, 7 * MEGABYTE) // 2) + b"\n\n" + numbered(GROUP, size)
    )


def diagnostic(unit: bytes) -> Giant:
    """A delivery report about one recipient with much to say."""
    begin = STATUS + GROUP[:-1] % 0 + b"Diagnostic-Code: smtp; "
    return lambda size: begin + filled(unit, size)


def notice(unit: bytes, group: bytes = GROUP) -> Giant:
    """A delivery report with as much of a notice as is searched for each of its recipients."""
    fill = numbered if b"%d" in group else filled
    return lambda size: REPORT + filled(unit, min(size, 130_000)) + GROUPS + fill(group, size)


def recipients(count: int) -> Giant:
    """A delivery report about so many, with longer reasons the larger it is."""
    group = GROUP[:-1] + b"Diagnostic-Code: smtp; 550 %s\n\n"

    def build(size: int) -> bytes:
        reason = filled(b"no such user ", size // count - len(group))
        return STATUS + b"".join(group % (number, reason) for number in range(count)) + b"--b--\n"

    return build


def complaint(name: bytes) -> Giant:
    """A complaint with one long field for all its recipients."""

    def build(size: int) -> bytes:
        half = min(size, MEGABYTE) // 2
        long = name + b": " + filled(b"x", half)
        return (
            HEAD + b"Content-Type: message/feedback-report\n\n" + long + numbered(b"\nOriginal-Rcpt-To: a%d@b.cc", half)
        )

    return build


def deep(size: int) -> bytes:
    """Multiparts within multiparts, each the first part of the one around it."""
    unit = b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n"
    return b"".join(unit % (number, number) for number in range(size // len(unit)))


def forwards(head: bytes, unit: bytes, each: int) -> Giant:
    """Messages of `each` octets, in each of which a notice may be."""
    return parts(b"Content-Type: message/rfc822", HEAD + head + b"\n\n" + filled(unit, each), each * 2)


def forwards_in_forwards(size: int) -> bytes:
    """Messages within messages, twenty deep, then text."""
    unit = HEAD + b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\nContent-Type: message/rfc822\n\n"
    return b"".join(unit % (number, number) for number in range(20)) + filled(PROSE, size)


def forwards_in_base64(size: int) -> bytes:
    """Messages within messages, each in base64: to look inside is to decode it all."""
    raw = HEAD + b"\n" + filled(PROSE, size // 4)
    for _ in range(4):
        raw = HEAD + b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" + encodebytes(raw)
    return raw


def forwards_of_two(size: int) -> bytes:
    """Each holds two of the next: who looks into all of them sees the same octets again and again."""
    raw = HEAD + b"\n" + filled(PROSE, size // 64)
    for number in range(6):
        part = b"--n%d\nContent-Type: message/rfc822\n\n" % number + raw + b"\n"
        raw = HEAD + b"Content-Type: multipart/mixed; boundary=n%d\n\n" % number + 2 * part + b"--n%d--\n" % number
    return raw


def crlf(giant: Giant) -> Giant:
    """The same with CRLF as line end."""
    return lambda size: giant(size).replace(b"\n", b"\r\n")


BASE64 = b"Content-Transfer-Encoding: base64"
WIDE = "😀".encode()  # one makes each character of a text take four octets of memory

GIANTS: dict[str, Giant] = {
    "text": plain(b"", PROSE),
    "text, CRLF": crlf(plain(b"", PROSE)),
    "text of short lines, CRLF": crlf(plain(b"", b"xx\n")),
    "text, CR": lambda size: plain(b"", PROSE)(size).replace(b"\n", b"\r"),
    "LF": lambda size: filled(b"\n", size),
    "CRLF": lambda size: filled(b"\r\n", size),
    "CR": lambda size: filled(b"\r", size),
    "NUL": lambda size: filled(b"\0", size),
    "one line": plain(b"", b"x"),
    "one line without a header": lambda size: filled(b"x", size),
    "multiparts within multiparts": deep,
    "parts, tiny": lambda size: MIXED + filled(b"--b\n\nx\n", size),
    "parts, 100,000": lambda size: MIXED + (b"--b\n\n" + filled(b"x", size // 100_000) + b"\n") * 100_000,
    "parts, 400": lambda size: MIXED + (b"--b\n\n" + filled(PROSE, size // 400) + b"\n") * 400,
    "parts in base64": lambda size: MIXED
    + (b"--b\n" + BASE64 + b"\n\n" + encodebytes(filled(PROSE, size // 550))) * 400,
    "parts with emoji": crlf(parts(b"Content-Type: text/plain", WIDE + filled(b"xxxxxxx\n", MEGABYTE))),
    "delimiters": lambda size: MIXED + filled(b"--b\n", size),
    "lines of dashes": lambda size: MIXED + filled(b"--c\n", size),
    "boundaries": lambda size: MIXED + numbered(b"--b\nContent-Type: multipart/mixed; boundary=c%d\n\n--c--\n", size),
    "header fields": header(b"", b"X-%d: y\n"),
    "header lines without a name": header(b"", b"no field\n"),
    "header of one line": header(b"Subject: ", b"x"),
    "header of one folded line": header(b"Subject: x", b"\n y"),
    "headers of 200 KB": parts(b"To: " + filled(b"a@example.com, ", 200_000), b"x", 1),
    "encoded words": header(b"Subject: ", b"=?utf-8?q?=C3=B5?= "),
    "encoded words, cut": header(b"Subject: ", b"=?utf-8?q?=C3"),
    "encoded words in a report": diagnostic(b"=?utf-8?b?w7U=?=\n "),
    "addresses in To": header(b"To: ", b"a%d@example.com, "),
    "parentheses in To": header(b"To: ", b"("),
    "parentheses in a short From": lambda size: b"From: a@b " + filled(b"(", 200_000) + b"\n\n" + filled(b"x", size),
    "quotes in To": header(b"To: ", b'"\\'),
    "quotes in Content-Type": header(b"Content-Type: a/b", b';x="\\'),
    "parameters of a malformed multipart": lambda size: header(
        b'Content-Type: multipart/mixed; boundary="x', b";"
    )(min(size, 250_000)),
    "parameters": header(b"Content-Type: multipart/mixed", b"; a%d=b"),
    "recipients, 10,000": recipients(10_000),
    "recipients, 200,000": recipients(200_000),
    "recipients in wild addresses": status(b'Final-Recipient: rfc822; a%d <"@' + b"(x) . " * 45 + b"\n\n"),
    "recipients of a long envelope id": field(b"Original-Envelope-Id: ", b"+41"),
    "recipients of a long host": field(b"Reporting-MTA: dns; ", b"x"),
    "recipients in a Cyrillic notice": notice("Почта не доставлена\n".encode()),
    "one recipient in a long notice": notice(b"a@example.com: 550 " + b"said 777 " * 150 + b"\n\n", GROUP % 0),
    "recipients in a final notice": notice(b"x This is the nullmailer delivery system.", DELAYED),
    "fields of one group": status(b"a%d: b\n"),
    "groups": status(b"ab:\n\n"),
    "groups in many parts": parts(b"Content-Type: message/delivery-status", b"ab:\n\n", 50_000),
    "reports in many parts": parts(b"Content-Type: message/delivery-status", GROUP),
    "report of numbers": diagnostic(b"port 550 "),
    "report in base64": lambda size: HEAD
    + b"Content-Type: message/delivery-status\n"
    + BASE64
    + b"\n\n"
    + encodebytes(numbered(GROUP, size * 3 // 4)),
    "base64": lambda size: HEAD + BASE64 + b"\n\n" + encodebytes(filled(PROSE, size * 3 // 4)),
    "base64, damaged": text(b"text/plain\n" + BASE64, b"=A\0"),
    "quoted-printable": text(b"text/plain\nContent-Transfer-Encoding: quoted-printable", b"=C3=B5=\n"),
    "HTML": html(b"<div><p>The <b>mail</b> &amp; more<br></p></div>\n"),
    "HTML paragraphs": html(b"<p>"),
    "HTML tags, only begun": html(b"<a <br "),
    "HTML styles, only begun": html(b"<style"),
    "HTML styles": html(b"<style></style>"),
    "HTML entities": html(b"&CounterClockwiseContourIntegra"),
    "HTML entities by number": html(b"&#1"),
    "HTML entity of many digits": text(b"text/html", b"1", b"It was not delivered &#"),
    "windows-1257 without meaning": charset(b"windows-1257", b"\xa1\xa5"),
    "iso-8859-8 without meaning": charset(b"iso-8859-8", b"\xff"),
    "iso-2022-jp without meaning": charset(b"iso-2022-jp", b"\xff"),
    "utf-16 without meaning": charset(b"utf-16", b"\x00\xdc\x00\xdc"),
    "utf-8 without meaning": charset(b"utf-8", b"a\xe0\x80"),
    "qmail": plain(b"Hi. This is the qmail-send program at x.\n\n", b"<a%d@b.cc>:\nno\n\n"),
    "Postfix": plain(b"This is the mail system at host x.\n", b"<a%d@b.cc>: 550 no\n"),
    "Exim": plain(EXIM, b"  a%d@b.cc\n    550 no\n"),
    "Exim, local parts": lambda size: (
        numbered(b"X-Failed-Recipients: a%d@b.cc\n", 64_000)
        + plain(EXIM, b"  a%d\n    550 no\n")(size)
    ),
    "Exchange": plain(b"Delivery has failed to these recipients\nGenerating server: x\n", b"a%d@b.cc\n#550 no\n"),
    "unlisted": plain(b"It was not delivered.\n", b"a%d@b.cc 550 no\n"),
    "pasted headers": plain(b"", b"From: a\nTo: b\n\n"),
    "JSON, nested": plain(b'{"notificationType":"Bounce","bounce":', b"["),
    "JSON, recipients": plain(
        b'{"notificationType":"Bounce","bounce":{"bounceSubType":"' + b"said 550 " * 500 + b'","bouncedRecipients":['
        + b"{}," * 80_000 + b"{}]}}", b"\n",
    ),
    "complaint, envelope id": complaint(b"Original-Envelope-Id"),
    "complaint, host": complaint(b"Reporting-MTA"),
    "forwards, 20 deep": forwards_in_forwards,
    "forwards in base64": forwards_in_base64,
    "forwards of two each": forwards_of_two,
    "forwards, malformed, of parameters": forwards(
        b"Content-Type: multipart/mixed; boundary=\"x" + filled(b";a=b", 200_000), PROSE, 40_000
    ),
    "forwards, malformed": forwards(b"Content-Type: multipart/mixed; boundary=x", PROSE, 250_000),
    "forwards, malformed, of blank lines": forwards(b"Content-Type: multipart/mixed; boundary=x", b"\n", 250_000),
}  # fmt: skip
