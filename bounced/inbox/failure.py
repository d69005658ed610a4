"""The one place where whatever goes wrong between us and an IMAP server becomes words.

imapclient, imaplib, ssl and the socket raise some twenty kinds of exceptions; a server that talks nonsense can make
them raise any other.
Source: RFC 9051 §7.1 (response codes).
"""

import imaplib
import re
from collections.abc import Iterable

from imapclient.exceptions import CapabilityError, ProtocolError

from bounced import network
from bounced.network import MAX_TEXT, clean

TEMPORARY = {"UNAVAILABLE", "SERVERBUG", "INUSE", "LIMIT", "CORRUPTION", "EXPUNGEISSUED"}
LASTING = {
    "AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED", "PRIVACYREQUIRED", "CONTACTADMIN", "NOPERM", "CLIENTBUG",
    "CANNOT", "TRYCREATE", "NONEXISTENT", "OVERQUOTA",
}  # fmt: skip

NONSENSE = "the server's answer is not IMAP"  # and is not shown: it may be part of a mail
CLOSED = ("EOF", "unterminated line", "[Errno")  # imaplib's words for it

WRAPPED = re.compile(r"""(?:command: \w+ => |\w+ failed: |(?:\w+ command error: )(?=BAD)|socket error: )+""")
RAW_BYTES = re.compile(r"""(BAD )?\[?b(['"])(.*)\2\]?""")
CODE = re.compile(r"\[([A-Z-]+)[] ]")


def is_refusal(error: Exception) -> bool:
    """Whether the server answered NO or BAD, so that the connection can be used on."""
    broken = (imaplib.IMAP4.abort, ProtocolError, CapabilityError)
    return isinstance(error, imaplib.IMAP4.error) and not isinstance(error, broken)


def in_words(error: Exception, *, lasting: bool, secrets: Iterable[str] = ()) -> tuple[str, bool]:
    """What happened, in one clean line, and whether it may go away by itself.

    lasting  whether a NO without a response code is taken as one that a person must mend
    secrets  what was sent to the server, and may come back in its answer
    """
    match error:
        case UnicodeError() if not isinstance(error, UnicodeDecodeError):
            return "the host name is not valid", False
        case OSError():
            return network.in_words(error)
        case imaplib.IMAP4.readonly():
            return "the server opens it read-only: nothing can be done to its messages", False
        case CapabilityError():
            return clean(str(error)), False
        case imaplib.IMAP4.abort():
            text = tidy(error, secrets)
            if text.startswith(CLOSED):
                return "the connection was closed", True
            return (NONSENSE if text.startswith("unexpected") else text), True
        case imaplib.IMAP4.error() if not isinstance(error, ProtocolError):
            text = tidy(error, secrets)
            code = found[1] if (found := CODE.search(text)) else ""
            return text, code in TEMPORARY or not (lasting or code in LASTING)
        case MemoryError():  # ours, not the server's
            raise error
        case _:
            return NONSENSE, True


def tidy(error: Exception, secrets: Iterable[str]) -> str:
    """The server's own words, without secrets and what imaplib and imapclient put around them."""
    text = error.args[0] if error.args else ""
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    for secret in secrets:
        text = text.replace(secret, "***")
    text = WRAPPED.sub("", text[: 10 * MAX_TEXT], count=1)
    if found := RAW_BYTES.fullmatch(text):
        text = (found[1] or "") + found[3]
    return clean(text.removeprefix("* "))
