"""Events of sending: what a server refused, what was given up, who was left out.  Counted like every other event."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from bounced.model import Event, Match
from bounced.store import counters, events
from bounced.store.ids import new_id
from parsers.report import Report

MATCHED_BY = "message-id"
"""No evidence was needed: the message was in hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What the events of one message have in common."""

    outbound_id: UUID
    company_id: int
    company: str
    user_id: int
    user: str  # code
    document: str | None
    mode: str
    snapshot: Mapping[str, Any]  # of the sender config


def record(connection: Connection, about: Subject, reports: Sequence[Report], now: datetime) -> list[Event]:
    """Store an event for each report."""
    made = [
        Event(
            id=new_id(),
            source=f"smtp:{about.outbound_id}",
            report=report,
            received_at=now,
            truncated=False,
            mailbox=None,
            match=Match(
                matched_by=MATCHED_BY,
                company_id=about.company_id,
                company=about.company,
                user_id=about.user_id,
                user=about.user,
                document=about.document,
                mode=about.mode,
                sender_config=about.snapshot,
                outbound_id=about.outbound_id,
            ),
        )
        for report in reports
    ]
    events.insert_events(connection, None, [(None, position, event) for position, event in enumerate(made)])
    counters.add(connection, Counter(counters.key_of(event, None) for event in made))
    return made
