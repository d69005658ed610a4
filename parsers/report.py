"""What a parser hands back: plain named tuples.  No I/O, no database, no company, no clock.

Frozen dataclasses take three times as long to make, and every mail makes four.

One Report is one statement about one recipient; one mail may carry many.
Absent is None, never "" and never a guess.
Sources: RFC 3464 §2 (fields), RFC 3463 §2 (status), RFC 5321 §4.2 (reply codes), RFC 5965 §3 (complaints).
"""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from parsers.causes.cause import Cause

MAX_DIAGNOSTIC = 2_000
"""Characters kept of one diagnostic; longer ones are cut."""


class Kind(StrEnum):
    """What a mail says about one recipient."""

    BOUNCE = "bounce"
    DELAY = "delay"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"
    COMPLAINT = "complaint"
    AUTO_REPLY = "auto-reply"
    OTHER = "other"


class Evidence(NamedTuple):
    """What ties a notice to the message that it is about, as far as the mail carries it.

    Message-IDs and envelope ids are kept as sent, without angle brackets.
    """

    message_id: str | None = None  # the notice's own Message-ID
    original_message_id: str | None = None  # Message-ID of the returned message
    envelope_id: str | None = None  # Original-Envelope-Id, xtext decoded (RFC 3464 §2.2.1)
    related_ids: tuple[str, ...] = ()  # its other ids: in the notice's In-Reply-To, References, and in vendor headers
    failed_recipients: tuple[str, ...] = ()  # X-Failed-Recipients
    delivered_to: tuple[str, ...] = ()  # the addresses that the notice itself came to, innermost first
    original_from: str | None = None  # bare address in the returned From
    original_reply_to: str | None = None  # bare address in the returned Reply-To
    original_to: tuple[str, ...] = ()  # bare addresses in the returned To and Cc
    original_subject: str | None = None
    original_date: datetime | None = None  # aware UTC
    subject: str | None = None  # the notice's own
    date: datetime | None = None  # the notice's own Date, aware UTC


class Report(NamedTuple):
    """One statement about one recipient.  Every field but `kind` and `evidence` may be None."""

    kind: Kind
    recipient: str | None = None  # the address that was written to: the original one where it is given
    original_recipient: str | None = None  # Original-Recipient as stated (RFC 3464 §2.3.1), bare address
    final_recipient: str | None = None  # Final-Recipient as stated (RFC 3464 §2.3.2), bare address
    action: str | None = None  # first word of Action, lower case (RFC 3464 §2.3.3)
    status: str | None = None  # "5.1.1", as sent (RFC 3463 §2)
    smtp_code: int | None = None  # 200..599 (RFC 5321 §4.2)
    diagnostic: str | None = None  # unfolded, at most MAX_DIAGNOSTIC characters
    remote_mta: str | None = None  # host name or address literal (RFC 3464 §2.3.5)
    reporting_mta: str | None = None  # host name (RFC 3464 §2.2.2)
    feedback_type: str | None = None  # lower case (RFC 5965 §3.1)
    cause: Cause | None = None  # only for bounce and delay
    permanent: bool | None = None  # stop writing to that address; only for bounce and delay
    rule: str | None = None  # the classification rule that decided
    evidence: Evidence = Evidence()  # frozen, so it may be shared


class Outcome(NamedTuple):
    """All that one mail said.  `reports` holds at least one Report, in body order."""

    reports: tuple[Report, ...]
    detector: str | None = None  # what recognised it: "dsn", "qmail", ...
    problems: tuple[str, ...] = ()  # for the log: what went wrong on the way
    truncated: bool = False  # a bound was met: not all of the mail was read
