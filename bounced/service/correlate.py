"""Ties a report to the company, the message, the user and the document that it is about, by the strongest evidence.

A token in the address that the bounce came to > the same token as envelope id > any id that names the message > the one
message sent to that recipient lately > the returned Reply-To or From, which names a user but no message.
Every query is limited to one company: the mailbox's, or that of the address the notice was delivered to.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from bounced.keys import Keyring
from bounced.model import Match
from bounced.send import tokens
from bounced.send.tokens import NoToken
from bounced.store import people, sent
from bounced.store.people import email_key
from bounced.store.sent import Sent
from parsers.report import Evidence, Report

COMPANY = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""What the local part of an event address may be before a "+": it becomes a company's name."""
LATELY = timedelta(days=7)
"""How long after a message the only one to its recipient is the one that bounced: by then servers have given up."""


class Correlator:
    """Matches the reports of one mailbox.  What was looked up once in a transaction is not looked up again."""

    def __init__(
        self, connection: Connection, *, company: str | None, event_domain: str, keyring: Keyring | None
    ) -> None:
        """Looks things up with `connection`.

        company  the mailbox's; None: taken from the address that each notice came to
        keyring  what verifies tokens; None: they are ids like any other
        """
        self._connection = connection
        self._company = company
        self._event_domain = event_domain.lower()
        self._keyring = keyring
        self._companies: dict[str, int] = {}
        self._users: dict[tuple[int, str], people.User | None] = {}

    def match(self, report: Report) -> Match:
        """What the report belongs to; the ids that were tried are kept when nothing was found, too."""
        evidence = report.evidence
        addressed = list(self._addressed(evidence.delivered_to))
        company = self._company or next((name for name, _ in addressed), None)
        tags = [tag for name, tag in addressed if name == company and tokens.FORM.fullmatch(tag)]
        tried = tuple(dict.fromkeys((*tags, *tried_ids(evidence))))
        if company is None:
            return Match(tried_ids=tried)
        company_id = self._company_id(company)
        known = Match(company_id=company_id, company=company, tried_ids=tried)
        way, named = self._by_token(company_id, company, tags, evidence.envelope_id)
        if named is NoToken.FORGED:
            return replace(known, forged=True)
        found = named if isinstance(named, Sent) else None
        if found is None:
            way, found = "message-id", self._by_ids(company_id, evidence)
        if found is None:
            way, found = "recipient", self._by_recipient(company_id, report)
        if found is not None:
            return _matched(known, way, found, report)
        user = self._by_returned_address(company_id, evidence)
        return known if user is None else replace(known, matched_by="reply-to", user_id=user.id, user=user.code)

    def _by_token(
        self, company_id: int, company: str, tags: Iterable[str], envelope_id: str | None
    ) -> tuple[str, Sent | NoToken]:
        """The delivery that a token names, and where that stood; one that is not ours spoils all the others."""
        best: tuple[str, Sent | NoToken] = ("", NoToken.ABSENT)
        for way, texts in (("verp", tags), ("envid", (envelope_id or "",))):
            for text in texts:
                number = tokens.verify(self._keyring, company, text) if self._keyring else NoToken.ABSENT
                if number is NoToken.FORGED:
                    return way, NoToken.FORGED
                if isinstance(number, int) and not isinstance(best[1], Sent):
                    best = way, sent.by_delivery(self._connection, company_id, number) or NoToken.ABSENT
        return best

    def _by_ids(self, company_id: int, evidence: Evidence) -> Sent | None:
        """The message that the returned Message-ID names, else the one that any other id does."""
        for ids in ([evidence.original_message_id], evidence.related_ids):
            keys = [one for one in ids if one]
            if keys and (found := sent.by_keys(self._connection, company_id, keys)):
                return found
        return None

    def _by_recipient(self, company_id: int, report: Report) -> Sent | None:
        since = (report.evidence.date or datetime.now(UTC)) - LATELY
        addresses = dict.fromkeys(filter(None, (report.recipient, report.original_recipient, report.final_recipient)))
        for address in addresses:
            if found := sent.by_recipient(self._connection, company_id, address, since):
                return found
        return None

    def _addressed(self, addresses: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Company and token of every COMPANY@event_domain and COMPANY+TOKEN@event_domain, innermost first."""
        for address in addresses:
            local, _, domain = address.lower().rpartition("@")
            name, _, tag = local.partition("+")
            if domain == self._event_domain and COMPANY.fullmatch(name):
                yield name, tag

    def _company_id(self, name: str) -> int:
        """The company's id; it is made known at first use."""
        if name not in self._companies:
            self._companies[name] = people.ensure_company(self._connection, name)
        return self._companies[name]

    def _by_returned_address(self, company_id: int, evidence: Evidence) -> people.User | None:
        """The one user whose address the returned message named as Reply-To, else as From."""
        for address in (evidence.original_reply_to, evidence.original_from):
            if address is None:
                continue
            key = (company_id, address.lower())
            if key not in self._users:
                found = people.users_by_email(self._connection, company_id, [address])
                self._users[key] = found[0] if len(found) == 1 else None
            if user := self._users[key]:
                return user
        return None


def _matched(known: Match, way: str, found: Sent, report: Report) -> Match:
    """With all that is known of the message, and which of its recipients the report is about.

    One that we never wrote to was forwarded to: where the message had a single recipient, it is that one's.
    """
    named = [email_key(one) for one in (report.recipient, report.original_recipient, report.final_recipient) if one]
    row = next((found.recipients[key] for key in named if key in found.recipients), None)
    only = next(iter(found.recipients.values())) if len(found.recipients) == 1 else None
    return replace(
        known,
        matched_by=way,
        user_id=found.user_id,
        user=found.user,
        document=found.document,
        mode=str(found.snapshot["mode"]),
        sender_config=found.snapshot,
        outbound_id=found.outbound_id,
        recipient_row=row or only,
        proven=row is not None,
    )


def tried_ids(evidence: Evidence) -> tuple[str, ...]:
    """Every id that could name the message, strongest first, each once."""
    ids = (evidence.envelope_id, evidence.original_message_id, *evidence.related_ids)
    return tuple(dict.fromkeys(i for i in ids if i))
