"""Who a message is from and for, and what of it a server can be told and can take, as it offers.

Sources: RFC 5321 §4.1.1 (MAIL, RCPT), RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8), RFC 3461 (DSN),
RFC 6533 §3 (addresses beyond ASCII in it).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bounced.errors import InputError
from bounced.log import CONTROLS
from bounced.send.reply import Reply

ADDRESS = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^\s"<>@]+)@[^\s"<>@]+')
MAX_ADDRESS = 320  # octets: 64 of a local part, "@", 255 of a domain (RFC 5321 §4.5.3.1)
MAX_ENVID = 100  # characters (RFC 3461 §4.4)

Offers = Mapping[str, str]
"""The extensions that a server offers: name in lower case -> parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Who a message is from and for.

    raises   InputError: an address or the id cannot be said in SMTP
    """

    sender: str  # where bounces go; "": nowhere
    recipients: tuple[str, ...]  # one that is there twice gets one message
    envid: str | None = None  # comes back in delivery reports, where the server offers DSN
    smtputf8: bool = False  # addresses beyond ASCII stand in the message itself

    def __post_init__(self) -> None:
        for address in (*filter(None, (self.sender,)), *self.recipients):
            whole = ADDRESS.fullmatch(address) and not CONTROLS.search(address)
            if not whole or len(address.encode()) > MAX_ADDRESS:
                raise InputError(f"{address[:MAX_ADDRESS]!a} is no address that a mail server can be told")
        if not self.recipients:
            raise InputError("a message needs a recipient")
        if self.envid is not None and not (
            0 < len(self.envid) <= MAX_ENVID and self.envid.isascii() and self.envid.isprintable()
        ):
            raise InputError(f"an envelope id has 1 to {MAX_ENVID} printable ASCII characters")


def refusals(envelope: Envelope, content: bytes, offers: Offers) -> dict[str, Reply]:
    """The recipients whom this server cannot be asked to write to, each with the reason as if it had said so."""
    reason = _no_to_all(envelope, content, offers)
    if reason:
        return dict.fromkeys(envelope.recipients, reason)
    if "smtputf8" in offers:
        return {}
    return {address: _NO_SMTPUTF8 for address in envelope.recipients if not address.isascii()}


def mail_command(envelope: Envelope, content: bytes, offers: Offers) -> str:
    """What follows MAIL."""
    words = [f"FROM:<{envelope.sender}>"]
    if "size" in offers:
        words.append(f"SIZE={len(content)}")
    if "8bitmime" in offers and not content.isascii():
        words.append("BODY=8BITMIME")
    if "smtputf8" in offers and _needs_smtputf8(envelope):
        words.append("SMTPUTF8")
    if "dsn" in offers:
        words.append("RET=HDRS")
        if envelope.envid is not None:
            words.append(f"ENVID={_xtext(envelope.envid)}")
    return " ".join(words)


def rcpt_command(recipient: str, offers: Offers) -> str:
    """What follows RCPT."""
    words = [f"TO:<{recipient}>"]
    if "dsn" in offers:
        original = f"rfc822;{_xtext(recipient)}" if recipient.isascii() else f"utf-8;{_utf8_xtext(recipient)}"
        words += ["NOTIFY=FAILURE,DELAY", f"ORCPT={original}"]
    return " ".join(words)


_NO_SMTPUTF8 = Reply(code=550, text="5.6.7 the server takes no addresses beyond ASCII: it does not offer SMTPUTF8")
_NO_8BITMIME = Reply(code=554, text="5.6.3 the server takes no text beyond ASCII: it does not offer 8BITMIME")


def _no_to_all(envelope: Envelope, content: bytes, offers: Offers) -> Reply | None:
    limit = offers.get("size", "")
    # 0: there is no fixed limit (RFC 1870 §4)
    if re.fullmatch(r"\d{1,20}", limit, re.A) and 0 < int(limit) < len(content):
        text = f"5.3.4 the message has {len(content)} octets, the server takes at most {int(limit)}"
        return Reply(code=552, text=text)
    if "smtputf8" not in offers and (envelope.smtputf8 or not envelope.sender.isascii()):
        return _NO_SMTPUTF8
    if "8bitmime" not in offers and not content.isascii():
        return _NO_8BITMIME
    return None


def _needs_smtputf8(envelope: Envelope) -> bool:
    return envelope.smtputf8 or not all(address.isascii() for address in (envelope.sender, *envelope.recipients))


def _xtext(text: str) -> str:
    """RFC 3461 §4: all but printable ASCII, and also "+" and "=", as +HH."""
    return "".join(letter if "!" <= letter <= "~" and letter not in "+=" else f"+{ord(letter):02X}" for letter in text)


def _utf8_xtext(address: str) -> str:
    r"""RFC 6533 §3, utf-8-addr-xtext: the like as \x{HEX}."""
    return "".join(
        letter if "!" <= letter <= "~" and letter not in "+=\\" else f"\\x{{{ord(letter):X}}}" for letter in address
    )
