"""What becomes of a recipient, and who is not written to any more."""

import itertools
import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from bounced.send import Letter, submit
from bounced.service.outbox import Outbox
from bounced.store import deliveries, history, people, suppressions, tables
from bounced.store.outbound import RecipientState
from tests.service.office import DOMAIN, FINE, GONE, complaint, notice

DELAY = {"kind": "delayed", "reply": "450 4.2.0 Try again later"}
DELIVERED = {"kind": "delivered", "reply": "250 2.0.0 Ok"}
NEVER = {
    "spam": "550 5.7.1 Message rejected as spam by content filter",
    "SPF": "550 5.7.23 SPF validation failed",
    "reputation": "550 5.7.1 rejected due to the low reputation of the sending domain",
    "block list": "554 5.7.1 Client host [192.0.2.25] blocked using zen.example.org",
    "full": "552 5.2.2 Mailbox full",
    "expired": "550 5.4.7 Delivery time expired",
}


def notices(message_id: str) -> dict[str, bytes]:
    """What may come about a message, each with the state that it leads to."""
    return {
        "delayed": notice(original=message_id, **DELAY),
        "delivered": notice(original=message_id, **DELIVERED),
        "bounced": notice(original=message_id),
        "complained": complaint(GONE, message_id),
    }


ORDERS = [order for length in (1, 2, 4) for order in itertools.permutations(notices(""), length)]


def test_the_order_of_notices_makes_no_difference(office):
    """Late, twice, in any order: what is strongest stays, and the server's own answer beside it."""
    strength = list(notices(""))
    for number, order in enumerate(ORDERS):
        sent = office.send(reply=f"250 taken as {number}")
        told = notices(sent.message_id)
        office.take(*(told[name] for name in (*order, *reversed(order))))
        assert office.states(sent) == {GONE: max(order, key=strength.index)}, order
        with office.store.reading() as connection:
            (fate,) = history.fate(connection, sent.id)
        assert fate.reply == f"250 taken as {number}"


def test_a_bounce_that_is_here_before_the_reply_is_noted(office):
    """A fast server's bounce is read while the message is still `sending`: what it says stays."""
    for outcome in (RecipientState.ACCEPTED, RecipientState.UNCERTAIN):
        sent = office.send()
        office.take(notice(original=sent.message_id))
        with office.store.writing() as connection:
            rows = connection.scalars(select(tables.OutboundRecipient.id)).all()
            deliveries.set_recipients(connection, rows, outcome, "250 Ok", datetime.now(UTC))
        assert office.states(sent) == {GONE: "bounced"}


def test_who_is_suppressed(office):
    """Permanent failures and complaints, of companies that keep a list, each on its own."""
    sent = office.send()
    office.take(notice(original=sent.message_id))
    assert office.suppressed() == {}, "off by default"
    office.keep_list()
    sent, unhappy = office.send(), office.send(FINE)
    office.take(notice("GONE@Customer.example.com", original=sent.message_id), complaint(FINE, unhappy.message_id))
    assert office.suppressed() == {GONE: "user-unknown", FINE: "complaint"}
    assert office.suppressed("other") == {}


def test_a_notice_that_names_nobody(office):
    """Providers hide who complained: where the message went to one alone, it is that one; of several, nobody knows."""
    office.keep_list()
    alone, several = office.send(GONE), office.send(GONE, FINE)
    for sent in (several, alone):
        assert office.suppressed() == {}
        (event,) = office.take(complaint(None, sent.message_id))
        assert event.report.recipient is None
    assert office.states(several) == {GONE: "accepted", FINE: "accepted"}
    assert office.suppressed() == {GONE: "complaint"}
    office.configure(envelope="verp")
    sent = office.send("third@customer.example.com", FINE)
    office.take(notice(None, to=f"acme+{sent.tokens[1]}@{DOMAIN}"))
    assert office.suppressed() == {GONE: "complaint", FINE: "user-unknown"}


@pytest.mark.parametrize("feedback", ["not-spam", "auth-failure", "virus"])
def test_feedback_that_is_no_complaint(office, feedback):
    """Who took a mail out of the junk folder has not complained, nor has a program that reports failed SPF."""
    office.keep_list()
    sent = office.send()
    raw = complaint(GONE, sent.message_id)
    office.take(raw.replace(b"Feedback-Type: abuse", f"Feedback-Type: {feedback}".encode()))
    assert office.states(sent) == {GONE: "accepted"}
    assert office.suppressed() == {}


@pytest.mark.parametrize("reply", NEVER.values(), ids=NEVER)
def test_who_is_not_suppressed(office, reply):
    """What is wrong with the message, its sender or the moment says nothing about the address."""
    office.keep_list()
    sent = office.send()
    office.take(notice(original=sent.message_id, reply=reply), notice(original=sent.message_id, **DELAY))
    assert office.states(sent) == {GONE: "bounced"}
    assert office.suppressed() == {}


def test_unmatched_suppresses_nobody(office):
    """A notice about a message that is not ours changes nothing, whatever user it names."""
    office.keep_list()
    office.take(notice(original="x@erp.example.net", returned=["Reply-To: mari@acme.example.com"]))
    assert office.suppressed() == {}


def test_a_later_delivery_clears(office):
    """Of two messages one bounced, and a later notice says that the other was delivered: write there again."""
    office.keep_list()
    office.keep_list("other")
    first, second = office.send(), office.send("Gone@CUSTOMER.example.com")
    others = office.send(company="other")
    office.take(notice(original=others.message_id, to="other@event.data.example.net"), company="other")
    office.take(notice(original=first.message_id))
    assert list(office.suppressed()) == [GONE]
    office.take(notice(original=second.message_id, **DELIVERED))
    assert office.suppressed() == {}
    assert list(office.suppressed("other")) == [GONE]
    office.take(notice(original=first.message_id), at=office.clock - timedelta(minutes=1))
    assert office.suppressed() == {}, "an older bounce that is read later"


def test_an_earlier_delivery_clears_nothing(office):
    """A notice of delivery that came before the bounce, and is read later, says nothing of now."""
    office.keep_list()
    first, second = office.send(), office.send()
    office.take(notice(original=second.message_id))
    office.take(notice(original=first.message_id, **DELIVERED), at=office.clock - timedelta(minutes=1))
    assert office.suppressed() == {GONE: "user-unknown"}


def test_acceptance_clears_nothing(office):
    """That the first server takes a message, it said of the one that bounced, too."""
    office.keep_list()
    office.take(notice(original=office.send().message_id))
    office.keep_list(keeps=False)
    office.send()
    assert office.suppressed() == {GONE: "user-unknown"}


@pytest.mark.parametrize("why", ["complaint", "by hand"])
def test_what_a_delivery_does_not_clear(office, why):
    """Who complained, or was put on the list by a person, is not written to because mail arrives there."""
    office.keep_list()
    first, second = office.send(), office.send()
    if why == "complaint":
        office.take(notice(original=first.message_id), complaint(GONE, first.message_id))
    else:
        with office.store.writing() as connection:
            company_id = people.ensure_company(connection, "acme")
            assert suppressions.add(connection, company_id, GONE, datetime.now(UTC))
    office.take(notice(original=second.message_id, **DELIVERED))
    assert office.suppressed() == {GONE: "complaint" if why == "complaint" else None}


def test_a_refusal_at_sending_time_suppresses(office, sink):
    """No bounce is needed where the first server says that there is no such user; of SPF it says something else."""
    office.keep_list()
    sink.rcpt |= {GONE: "550 5.1.1 User unknown", FINE: NEVER["SPF"]}
    office.configure(relay=f"127.0.0.1:{sink.port}")
    with office.store.writing() as connection:
        letter = Letter(to=(GONE, FINE), subject="x", text="x\n")
        sent = submit(connection, office.config, letter, company="acme", user="MARI")
    Outbox(office.store, threading.Event()).drain(office.config, office.keyring)
    with office.store.reading() as connection:
        states = {one.address: one.state for one in history.fate(connection, sent.outbound_id)}
    assert states == {GONE: "refused", FINE: "refused"}
    assert office.suppressed() == {GONE: "user-unknown"}


def test_a_bounce_after_a_delivery(office):
    """An address that worked once and is gone now is not written to any more."""
    office.keep_list()
    first, second = office.send(), office.send()
    office.take(notice(original=first.message_id, **DELIVERED), notice(original=second.message_id))
    assert office.states(first) == {GONE: "delivered"}
    assert office.suppressed() == {GONE: "user-unknown"}
