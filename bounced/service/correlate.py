"""Ties a report to the company, the message, the user and the document that it is about, by the strongest evidence.

A token in the address that the bounce came to > the same token as envelope id > any id that names the message > the one
message sent to that recipient from that mailbox lately > the returned Reply-To or From, else the mailbox's owner,
which names a user but no message: what such a user sends with at present is inferred.
Every query is limited to one company: the mailbox's, or that of the address the notice was delivered to.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from bounced.config import Config
from bounced.errors import BouncedError, InputError
from bounced.keys import Keyring
from bounced.model import Match
from bounced.send import cards, tokens
from bounced.send.recipients import envelope_address
from bounced.send.sender import SenderConfig
from bounced.send.tokens import NoToken
from bounced.store import people, sent
from bounced.store.people import email_key
from bounced.store.sent import Sent
from parsers.report import Evidence, Report
from parsers.sender import is_marked

COMPANY = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""What the local part of an event address may be before a "+": it becomes a company's name."""
LATELY = timedelta(days=7)
"""How long after a message the only one to its recipient is the one that bounced: by then servers have given up."""
CLOCKS = timedelta(hours=1)
"""By how much the clocks of two servers may differ."""
AMAZON = "amazonses.com"
"""Amazon SES tells its id for a message without this domain when it takes it, and with it in the message."""
MAX_COMPARED = 200
"""Characters of a subject that are compared; what is returned may be cut."""
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
"""A notice may tell any date, the first of all times included; nothing was sent then."""


class Correlator:
    """Matches the reports of one mailbox.  What was looked up once in a transaction is not looked up again."""

    def __init__(
        self,
        connection: Connection,
        config: Config,
        keyring: Keyring | None,
        *,
        company: str | None = None,
        user: people.User | None = None,
        login: str = "",
    ) -> None:
        """Looks things up with `connection`.

        keyring  what verifies tokens; None: they are ids like any other
        company  the mailbox's; None: taken from the address that each notice came to
        user     whose own mailbox it is; None: it is a company's
        login    the mailbox's user name: what is collected there for several companies may name it, too
        """
        self._connection = connection
        self._config = config
        self._keyring = keyring
        self._company = None if company is None else people.company_key(company)
        self._owner = user
        self._event_domain = config.directo.event_domain.lower()
        local, _, domain = login.lower().partition("@")
        self._collector = local if domain in ("", self._event_domain) else ""
        self._companies: dict[str, int] = {}
        self._users: dict[tuple[int, str], people.User | None] = {}
        self._present: dict[int, SenderConfig | None] = {}
        self._senders: dict[int, bool] = {}

    def match(self, report: Report, received_at: datetime | None) -> Match:
        """What the report belongs to; the ids that were tried are kept when nothing was found, too.

        received_at  when the notice came to the mailbox; None: not known
        """
        evidence = report.evidence
        addressed = list(self._addressed(evidence.delivered_to))
        company = self._company or self._addressee([name for name, _ in addressed])
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
        if found is None and self._has_sent(company_id):
            way, found = "message-id", self._by_ids(company_id, report)
        if found is None and self._has_sent(company_id):
            way, found = "recipient", self._by_recipient(company_id, company, report, received_at)
        if found is not None:
            return _matched(known, way, found, report)
        user = self._by_returned_address(company_id, evidence) or self._owner
        return known if user is None else self._inferred(known, user)

    def _has_sent(self, company_id: int) -> bool:
        """Whether the company sends through here at all: most have only their bounces polled."""
        if company_id not in self._senders:
            self._senders[company_id] = sent.any_of(self._connection, company_id)
        return self._senders[company_id]

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

    def _by_ids(self, company_id: int, report: Report) -> Sent | None:
        """The message that the returned Message-ID names, else the one that any other id does."""
        for ids in ([report.evidence.original_message_id], report.evidence.related_ids):
            keys = [one for one in ids if one]
            keys += [one.partition("@")[0] for one in keys if one.endswith(AMAZON)]
            if keys and (found := sent.by_keys(self._connection, company_id, keys, _named(report))):
                return found
        for one in report.evidence.related_ids:
            with suppress(ValueError):  # the field that we put into each message names it by our number
                if found := sent.by_id(self._connection, company_id, UUID(one)):
                    return found
        return None

    def _by_recipient(self, company_id: int, company: str, report: Report, received_at: datetime | None) -> Sent | None:
        """The one message that was sent to the report's recipient, and whose bounces come here."""
        now = datetime.now(UTC)
        came = max(LONG_AGO, min(received_at or report.evidence.date or now, now))
        senders = {self._without_token(address) for address in report.evidence.delivered_to}
        if self._owner is None:
            senders.add(f"{company}@{self._event_domain}")
        elif self._owner.email:
            senders.add(self._owner.email)
        for address in _named(report):
            if found := sent.taken_for(self._connection, company_id, address, senders, came - LATELY, came + CLOCKS):
                only = sent.by_id(self._connection, company_id, found[0]) if len(found) == 1 else None
                return None if only is None or _is_another(only, report.evidence) else only
        return None

    def _inferred(self, known: Match, user: people.User) -> Match:
        """With what the user sends with at present, as far as that can be told."""
        if user.id not in self._present:
            company = people.company_by_id(self._connection, user.company_id)
            try:
                self._present[user.id] = cards.sender_config(self._connection, company, user, self._config)
            except BouncedError:  # a card that is not in order is no reason to lose a notice
                self._present[user.id] = None
        sender = self._present[user.id]
        return replace(
            known,
            matched_by="reply-to",
            user_id=user.id,
            user=user.code,
            mode=sender.mode.value if sender else None,
            sender_config=sender.snapshot() if sender else None,
        )

    def _without_token(self, address: str) -> str:
        """COMPANY@event_domain for COMPANY+TOKEN@event_domain; all others as they are."""
        return next((f"{name}@{self._event_domain}" for name, _ in self._addressed([address])), address)

    def _addressed(self, addresses: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Company and token of every COMPANY@event_domain and COMPANY+TOKEN@event_domain, innermost first."""
        for address in addresses:
            local, _, domain = address.lower().rpartition("@")
            name, _, tag = local.partition("+")
            if domain == self._event_domain and COMPANY.fullmatch(name):
                yield name, tag

    def _addressee(self, names: Sequence[str]) -> str | None:
        """The company that a notice came to: what the mailbox itself is called only where there is no other name."""
        return next((name for name in names if name != self._collector), names[0] if names else None)

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

    One that we never wrote to was forwarded to: where the message had a single recipient, it is that one's.  Where the
    notice tells both, the address that was written to and the one it was forwarded to, only the latter has failed.
    A notice that names nobody is about the single recipient.
    """
    named = _named(report)
    row = next((found.recipients[address] for address in named if address in found.recipients), None)
    failed = found.recipients.get(address_key(report.final_recipient or report.recipient or ""))
    only = next(iter(found.recipients.values())) if len(found.recipients) == 1 else None
    mode = found.snapshot.get("mode")
    return replace(
        known,
        matched_by=way,
        user_id=found.user_id,
        user=found.user,
        document=found.document,
        mode=str(mode) if mode else None,
        sender_config=found.snapshot,
        outbound_id=found.outbound_id,
        recipient_row=row or only,
        proven=row == failed if row is not None else not named and only is not None,
    )


def _is_another(found: Sent, evidence: Evidence) -> bool:
    """Whether the returned message is another than `found`: its id, which a server may have replaced, and its subject.

    The ERP, or the user's own mail program, writes to the same people, and there "Re:" and "Fwd:" about what we sent.
    """
    told, ours = evidence.original_subject, found.subject
    if evidence.original_message_id is None or told is None or ours is None:
        return False
    if is_marked(told) and not is_marked(ours):
        return True
    return _comparable(ours)[:MAX_COMPARED] not in _comparable(told)  # a server may have put "[SPAM]" in front


def _comparable(subject: str) -> str:
    return " ".join(subject.lower().split())


def _named(report: Report) -> list[str]:
    """The addresses that the report is about, as they are compared: the one that was written to first."""
    told = (report.recipient, report.original_recipient, report.final_recipient)
    return list(dict.fromkeys(address_key(address) for address in told if address))


def address_key(address: str) -> str:
    """An address as it is compared: servers that know SMTPUTF8 tell domains in their own letters, too."""
    with suppress(InputError):
        return email_key(address if address.isascii() else envelope_address(address))
    return email_key(address)


def tried_ids(evidence: Evidence) -> tuple[str, ...]:
    """Every id that could name the message, strongest first, each once."""
    ids = (evidence.envelope_id, evidence.original_message_id, *evidence.related_ids)
    return tuple(dict.fromkeys(i for i in ids if i))
