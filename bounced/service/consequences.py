"""What an event changes beside itself: what is known of the recipient, and whether the company writes there again.

Only an event that is matched and not forged changes anything.  Only what says that the address itself is of no use, or
that its owner complained, puts it on the company's list, and only where the message went to that very address.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection

from bounced.model import Event
from bounced.store import outbound, people, suppressions
from bounced.store.outbound import RecipientState
from parsers.report import Kind

STATES = {
    Kind.BOUNCE: RecipientState.BOUNCED,
    Kind.DELAY: RecipientState.DELAYED,
    Kind.DELIVERED: RecipientState.DELIVERED,
    Kind.COMPLAINT: RecipientState.COMPLAINED,
}
"""What each kind says of the recipient; the others say nothing."""


def draw(connection: Connection, events: Sequence[Event]) -> None:
    """The consequences of events that were just stored, in their order."""
    keeps_list: dict[int, bool] = {}
    for event in events:
        match, report = event.match, event.report
        if match.forged or match.recipient_row is None or report.kind not in STATES:
            continue
        now = event.received_at or datetime.now(UTC)
        outbound.learn(connection, match.recipient_row, STATES[report.kind], report.diagnostic, now)
        address = outbound.address_of(connection, match.recipient_row)
        company = match.company_id
        if company is None or not match.proven:
            continue
        if report.kind is Kind.DELIVERED:
            suppressions.remove(connection, company, address)
        elif (report.kind is Kind.BOUNCE and report.permanent) or report.kind is Kind.COMPLAINT:
            if company not in keeps_list:
                keeps_list[company] = people.company_by_id(connection, company).suppress
            if keeps_list[company]:
                cause = report.cause.value if report.cause else report.kind.value
                suppressions.add(connection, company, address, cause=cause, event_id=event.id)
