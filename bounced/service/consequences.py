"""What an event changes beside itself: what is known of the recipient, and whether the company writes there again.

Only an event that is matched and not forged changes anything.  Only what says that the address itself is of no use, or
that its owner complained, puts it on the company's list, and only where it is about the very address that the message
went to.  Only what is known to have been delivered takes it off again: that a server accepted a message, it said of
those that bounced, too.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection

from bounced.model import Event, complains
from bounced.store import history, people, suppressions
from bounced.store.outbound import RecipientState
from parsers.report import Kind, Report

STATES = {
    Kind.BOUNCE: RecipientState.BOUNCED,
    Kind.DELAY: RecipientState.DELAYED,
    Kind.DELIVERED: RecipientState.DELIVERED,
    Kind.COMPLAINT: RecipientState.COMPLAINED,
}
"""What each kind says of the recipient; the others say nothing, nor does feedback that is no complaint."""


def draw(connection: Connection, events: Sequence[Event]) -> None:
    """The consequences of events that were just stored.

    Rows are written in sorted order, so that two daemons never wait for each other in a ring.
    """
    addresses: list[tuple[str, Event]] = []
    acting = [
        (event.match.recipient_row, STATES[event.report.kind], event)
        for event in events
        if event.match.recipient_row is not None and not event.match.forged and _says_something(event.report)
    ]
    for row, state, event in sorted(acting, key=lambda one: one[0]):
        history.learn(connection, row, state, _came(event))
        if event.match.proven and _concerns_list(event):
            addresses.append((history.address_of(connection, row), event))
    _change_lists(connection, addresses)


def at_sending(connection: Connection, events: Sequence[Event]) -> None:
    """The consequences of refusals at sending time, whose recipients' states are noted already."""
    named = [(event.report.recipient, event) for event in events if event.report.recipient]
    _change_lists(connection, [(address, event) for address, event in named if _concerns_list(event)])


def _says_something(report: Report) -> bool:
    return report.kind in STATES and (report.kind is not Kind.COMPLAINT or complains(report))


def _concerns_list(event: Event) -> bool:
    report = event.report
    return (
        report.kind is Kind.DELIVERED or complains(report) or (report.kind is Kind.BOUNCE and report.permanent is True)
    )


def _change_lists(connection: Connection, addresses: list[tuple[str, Event]]) -> None:
    """What such events do to the companies' lists.  A bounce that comes later than a later delivery does nothing."""
    keeps_list: dict[int, bool] = {}
    for address, event in sorted(addresses, key=lambda one: people.email_key(one[0])):
        company, report, at = event.match.company_id, event.report, _came(event)
        if company is None:
            continue
        if company not in keeps_list:
            keeps_list[company] = people.company_by_id(connection, company).suppress
        if report.kind is Kind.DELIVERED:
            suppressions.clear(connection, company, address, at)
        elif keeps_list[company] and (
            report.kind is Kind.COMPLAINT or not history.delivered_since(connection, company, address, at)
        ):
            cause = report.cause.value if report.cause else suppressions.COMPLAINT
            suppressions.add(connection, company, address, at, cause=cause, event_id=event.id)


def _came(event: Event) -> datetime:
    return event.received_at or datetime.now(UTC)
