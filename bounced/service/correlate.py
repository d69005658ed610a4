"""Ties a report to the company, the user and the message that it is about, by the strongest evidence there is.

Every query is limited to one company: the mailbox's, or that of the address the notice was delivered to.
"""

import re
from collections.abc import Iterable

from sqlalchemy import Connection

from bounced.model import Match
from bounced.store import people
from parsers.report import Evidence, Report

COMPANY = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""What the local part of an event address may be before a "+": it becomes a company's name."""


class Correlator:
    """Matches the reports of one mailbox.  What was looked up once in a transaction is not looked up again."""

    def __init__(self, connection: Connection, *, company: str | None, event_domain: str) -> None:
        """`company`: the mailbox's; None: taken from the address that each notice came to."""
        self._connection = connection
        self._company = company
        self._event_domain = event_domain.lower()
        self._companies: dict[str, int] = {}
        self._users: dict[tuple[int, str], people.User | None] = {}

    def match(self, report: Report) -> Match:
        """What the report belongs to; the ids that were tried are kept when nothing was found, too."""
        evidence = report.evidence
        tried = tried_ids(evidence)
        company = self._company or self._addressed(evidence.delivered_to)
        if company is None:
            return Match(tried_ids=tried)
        company_id = self._company_id(company)
        user = self._by_returned_address(company_id, evidence)
        if user is None:
            return Match(company_id=company_id, company=company, tried_ids=tried)
        return Match(
            matched_by="reply-to",
            company_id=company_id,
            company=company,
            user_id=user.id,
            user=user.code,
            tried_ids=tried,
        )

    def _addressed(self, addresses: Iterable[str]) -> str | None:
        """The company in COMPANY@event_domain or COMPANY+TOKEN@event_domain, of the innermost such address."""
        for address in addresses:
            local, _, domain = address.lower().rpartition("@")
            name = local.partition("+")[0]
            if domain == self._event_domain and COMPANY.fullmatch(name):
                return name
        return None

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


def tried_ids(evidence: Evidence) -> tuple[str, ...]:
    """Every id that could name the message, strongest first, each once."""
    ids = (evidence.envelope_id, evidence.original_message_id, *evidence.related_ids)
    return tuple(dict.fromkeys(i for i in ids if i))
