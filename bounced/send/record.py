"""Events of sending: what a server refused, what was given up, who was left out.  Counted like every other event."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from bounced.model import Event, Match
from bounced.store import counters, events
from bounced.store.ids import new_id
from bounced.store.outbound import Outbound
from parsers.report import Evidence, Report

MATCHED_BY = "message-id"
"""No evidence was needed: the message was in hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What the events of one message have in common."""

    message: Outbound
    company: str
    user: str  # code
    snapshot: Mapping[str, Any]  # of the sender config

    @property
    def mode(self) -> str:
        """The mail sender."""
        return str(self.snapshot["mode"])

    @property
    def host(self) -> str:
        """The server that the message goes to, as the sender config names it."""
        return str(self.snapshot["server"]["host"])

    @property
    def evidence(self) -> Evidence:
        """What a report at sending time knows of the message."""
        message = self.message
        return Evidence(
            original_message_id=message.message_id, original_subject=message.subject, date=message.created_at
        )


def record(connection: Connection, about: Subject, reports: Sequence[Report], now: datetime) -> list[Event]:
    """Store an event for each report."""
    message = about.message
    made = [
        Event(
            id=new_id(),
            source=f"smtp:{message.id}",
            report=report,
            received_at=now,
            truncated=False,
            mailbox=None,
            match=Match(
                matched_by=MATCHED_BY,
                company_id=message.company_id,
                company=about.company,
                user_id=message.user_id,
                user=about.user,
                document=message.document,
                mode=about.mode,
                sender_config=about.snapshot,
                outbound_id=message.id,
            ),
        )
        for report in reports
    ]
    events.insert_events(connection, None, [(None, position, event) for position, event in enumerate(made)])
    counters.add(connection, Counter(counters.key_of(event, None) for event in made))
    return made
