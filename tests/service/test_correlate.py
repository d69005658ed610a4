"""What a notice is tied to, by which evidence, and what it may not be tied to."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from bounced.keys import Keyring
from bounced.send import compose, tokens
from bounced.send.reply import Reply
from bounced.service import replay
from bounced.service.deliver import ids_in
from bounced.store import deliveries, outbound, people, tables
from tests.service.office import DOMAIN, EVENTS, FINE, GONE, KEY, NEWER, notice

ELSEWHERE = "elsewhere@forward.example.org"
STRENGTH = ("verp", "envid", "message-id", "recipient", "reply-to")


def tagged(token: str, company: str = "acme") -> str:
    """The event address with a token in it."""
    return f"{company}+{token}@{DOMAIN}"


EVIDENCE = [chosen for length in range(6) for chosen in itertools.combinations(STRENGTH, length)]


@pytest.mark.parametrize("given", EVIDENCE, ids=lambda given: "+".join(given) or "none")
def test_the_strongest_evidence_decides(office, given):
    """Each kind of evidence names another message: the strongest that is there is believed."""
    users = {way: "JAAN" if way == "reply-to" else "MARI" for way in STRENGTH}
    sent = {way: office.send(f"{way}@customer.example.com", document=way) for way in STRENGTH}
    event = office.take_one(
        notice(
            "recipient@customer.example.com" if "recipient" in given else ELSEWHERE,
            to=tagged(sent["verp"].tokens[0].upper()) if "verp" in given else EVENTS,
            envid=sent["envid"].tokens[0] if "envid" in given else None,
            original=sent["message-id"].message_id if "message-id" in given else None,
            returned=["Reply-To: Jaan@acme.example.com"] if "reply-to" in given else (),
        )
    )
    match = event.match
    strongest = given[0] if given else None
    assert (match.matched_by, match.forged, match.company) == (strongest, False, "acme")
    assert match.user == (users[strongest] if strongest else None)
    assert match.outbound_id == (sent[strongest].id if strongest and strongest != "reply-to" else None)
    assert match.document == (strongest if strongest != "reply-to" else None)
    assert match.mode == ("directo-reply-to" if strongest else None)
    assert match.proven == (strongest == "recipient")


@pytest.mark.parametrize("place", ["address", "envelope id", "both, the other one right"])
def test_a_forged_token_spoils_everything(office, place):
    """A token that does not verify: kept, flagged, matched to nothing, and it changes nothing."""
    office.keep_list()
    sent = office.send()
    forged = tokens.sign(Keyring([NEWER]), "acme", 1)
    event = office.take_one(
        notice(
            to=EVENTS if place == "envelope id" else tagged(forged if place == "address" else sent.tokens[0]),
            envid=sent.tokens[0] if place == "address" else forged,
            original=sent.message_id,
            returned=["Reply-To: mari@acme.example.com"],
        )
    )
    match = event.match
    assert (match.forged, match.matched_by, match.user, match.document, match.outbound_id) == (True, *[None] * 4)
    assert (match.mode, match.sender_config, match.recipient_row, match.proven) == (None, None, None, False)
    assert forged in match.tried_ids
    assert office.states(sent) == {GONE: "accepted"}
    assert office.suppressed() == {}
    with office.store.reading() as connection:
        assert connection.scalar(select(tables.Event.forged).where(tables.Event.id == event.id)) is True
        assert connection.scalar(select(func.count()).where(tables.Counter.user_id != 0)) == 0


def test_a_tag_that_is_no_token(office):
    """COMPANY+invoices@... proves nothing either way: the rest decides."""
    sent = office.send()
    event = office.take_one(notice(to=tagged("invoices"), original=sent.message_id))
    assert (event.match.matched_by, event.match.forged) == ("message-id", False)
    assert "invoices" not in event.match.tried_ids


@pytest.mark.parametrize("company", ["other", None])
def test_another_companys_ids_show_nothing(office, company):
    """Whatever ids of acme's come to other's mailbox, or to other's address: nothing of acme is seen or changed."""
    office.keep_list("acme")
    office.keep_list("other")
    sent = office.send(document="Secret")
    there = f"other@{DOMAIN}"
    notices = [
        notice(to=there, original=sent.message_id, returned=["Reply-To: mari@acme.example.com"]),
        notice(to=there, envid=sent.tokens[0]),
        notice(to=tagged(sent.tokens[0], "other")),
        notice(to=there, own=[f"In-Reply-To: <{sent.message_id}>"]),
        notice(to=f"{there}, {tagged(sent.tokens[0])}"),
    ]
    events = office.take(*notices, company=company)
    assert {event.match.company for event in events} == {"other"}
    assert [event.match.forged for event in events] == [False, True, True, False, False]
    for event in events:
        assert (event.match.matched_by, event.match.user, event.match.document) == (None, None, None)
        assert (event.match.outbound_id, event.match.sender_config) == (None, None)
    assert office.states(sent) == {GONE: "accepted"}
    assert (office.suppressed("acme"), office.suppressed("other")) == ({}, {})


@pytest.mark.parametrize("login", ["bounces", f"Bounces@{DOMAIN}", f"acme@{DOMAIN}", "bounces@example.org"])
def test_a_mailbox_that_collects_for_all_companies(office, login):
    """Delivered-To is then the mailbox's own address on this domain: whose bounce it is, another address tells."""
    sent = office.send()
    delivered = [f"Delivered-To: {login}"] if "@" in login else [f"Delivered-To: {login}@{DOMAIN}"]
    (event,) = office.take(notice(to=tagged(sent.tokens[0]), own=delivered), company=None, login=login)
    assert (event.match.company, event.match.matched_by) == ("acme", "verp")


def test_the_companys_name_in_capitals(office):
    """How a mailbox's company is written in bounced.toml makes no difference."""
    sent = office.send()
    event = office.take_one(notice(to=tagged(sent.tokens[0])), company="ACME")
    assert (event.match.matched_by, event.match.company) == ("verp", "acme")


@pytest.mark.parametrize("header", ["X-Microsoft-Original-Message-ID", "X-Google-Original-Message-ID"])
def test_a_rewritten_message_id(office, header):
    """What a provider calls the message is no id of ours; what it kept of ours beside it is."""
    sent = office.send()
    lines = [f"{header}: <{sent.message_id}>"]
    event = office.take_one(notice(original="rewritten@provider.example.com", returned=lines))
    assert (event.match.matched_by, event.match.outbound_id) == ("message-id", sent.id)


AMAZON = "0102019a6c3e3030-1f2e3d4c-0000-4b5a-9c8d-7e6f5a4b3c2d-000000"


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ("2.0.0 Ok: queued as 4d5H2x1k3Jz9vC", None),
        ("OK id=1vKabc-00000000abc-1XyZ", None),
        ("2.0.0 OK  1794294863 5b1f17b1804b1-4778de4c5d6si12345e9.101 - gsmtp", None),
        (
            "2.6.0 <AM0P1@AM0P1.eurprd05.prod.example.com> [InternalId=4711, Hostname=AM0P2.eurprd05.prod.example.com] "
            "9876 bytes in 0.123, 78.1 KB/sec Queued mail for delivery",
            "AM0P1@AM0P1.eurprd05.prod.example.com",
        ),
        ("Ok, message saved <Message-ID: a.1@mx.example.com>", "a.1@mx.example.com"),
        ("queued (a.1@mx.example.com).", "a.1@mx.example.com"),
        (f"Ok {AMAZON}", f"{AMAZON}@eu-west-1.amazonses.com"),
        (f"Ok {AMAZON}", AMAZON),
    ],
)
def test_what_a_server_calls_the_message_that_it_took(office, reply, told):
    """Where that can be told from queue ids, a bounce with that Message-ID is known."""
    sent = office.send()
    ids = ids_in(Reply(code=250, text=reply))
    assert bool(ids) == bool(told)
    if told:
        with office.store.writing() as connection:
            outbound.add_keys(connection, people.ensure_company(connection, "acme"), sent.id, ids)
        event = office.take_one(notice(ELSEWHERE, original=told))
        assert (event.match.matched_by, event.match.outbound_id) == ("message-id", sent.id)


def test_a_rewritten_message_id_beside_our_own_field(office):
    """Where nothing was kept of our id, the field that we put into each message leads to it; no other company's."""
    sent, _ = office.send(), office.send()
    lines = [f"{compose.TRACE}: {sent.id}"]
    event = office.take_one(notice(original="rewritten@provider.example.com", returned=lines))
    assert (event.match.matched_by, event.match.outbound_id) == ("message-id", sent.id)
    office.send(FINE, company="other")
    event = office.take_one(notice(to=f"other@{DOMAIN}", original="r@x.example.com", returned=lines), company="other")
    assert (event.match.matched_by, event.match.outbound_id) == (None, None)


def test_an_id_of_the_notices_own_thread(office):
    """In-Reply-To of the notice names the message, where nothing of it was returned."""
    sent = office.send()
    event = office.take_one(notice(own=[f"In-Reply-To: <{sent.message_id}>"]))
    assert (event.match.matched_by, event.match.proven) == ("message-id", True)


def test_a_message_id_that_two_messages_share(office):
    """The one that went to the recipient is it; where both did, or none, the id tells nothing."""
    mine, others = office.send(GONE), office.send(FINE)
    with office.store.writing() as connection:
        company_id = people.ensure_company(connection, "acme")
        for sent in (mine, others):
            outbound.add_keys(connection, company_id, sent.id, ["shared@provider.example.com"])
    for recipient, sent in ((GONE, mine), (FINE, others)):
        event = office.take_one(notice(recipient, original="shared@provider.example.com"))
        assert (event.match.matched_by, event.match.outbound_id) == ("message-id", sent.id)
    unknown = office.take_one(notice(ELSEWHERE, original="shared@provider.example.com"))
    assert (unknown.match.matched_by, unknown.match.outbound_id) == (None, None)


def test_a_forwarded_bounce(office):
    """An address that we never wrote to: the message is known, its only recipient adopts it, nobody is suppressed."""
    office.keep_list()
    sent, several = office.send(GONE), office.send(GONE, FINE)
    event = office.take_one(notice(ELSEWHERE, original=sent.message_id))
    assert (event.match.matched_by, event.match.proven) == ("message-id", False)
    assert event.match.recipient_row is not None
    event = office.take_one(notice(ELSEWHERE, original=several.message_id))
    assert (event.match.outbound_id, event.match.recipient_row) == (several.id, None)
    told = office.take_one(notice(ELSEWHERE, orcpt=FINE, original=several.message_id))
    assert (told.report.recipient, told.match.proven) == (FINE, False)
    assert office.states(sent) == {GONE: "bounced"}
    assert office.states(several) == {GONE: "accepted", FINE: "bounced"}
    assert office.suppressed() == {}


def test_verp_tells_the_recipient(office):
    """With VERP each recipient has a token: nothing else of the message needs to come back."""
    office.configure(envelope="verp")
    sent = office.send(GONE, FINE)
    assert len(set(sent.tokens)) == 2
    event = office.take_one(notice(None, to=tagged(sent.tokens[1])))
    assert (event.match.matched_by, event.match.outbound_id) == ("verp", sent.id)
    assert office.states(sent) == {GONE: "accepted", FINE: "bounced"}


def test_keys_are_rotated(office):
    """What an older key signed verifies as long as it is there, whichever key signs now; afterwards it is forged."""
    before = office.send().tokens[0]
    for keys, way in (([NEWER, KEY], "verp"), ([NEWER], None)):
        office.keyring = Keyring(keys)
        event = office.take_one(notice(ELSEWHERE, to=tagged(before)))
        assert (event.match.matched_by, event.match.forged) == (way, way is None)
    after = office.send(FINE).tokens[0]
    assert office.take_one(notice(FINE, to=tagged(after))).match.matched_by == "verp"


# Nothing came back but the recipient.


def test_the_recipient_in_any_case(office):
    """An address is the same whatever its case."""
    sent = office.send("Gone@Customer.example.com")
    event = office.take_one(notice("GONE@customer.EXAMPLE.com"))
    assert (event.match.matched_by, event.match.outbound_id, event.match.proven) == ("recipient", sent.id, True)


def test_a_domain_in_its_own_letters(office):
    """A server tells the address in ASCII or, if it knows SMTPUTF8, as it is read."""
    sent = office.send("gone@näide.example.com")
    for told in ("gone@xn--nide-loa.example.com", "gone@näide.example.com"):
        event = office.take_one(notice(told, original=sent.message_id))
        assert event.match.proven


def test_several_messages_to_one_recipient(office):
    """Any of them may have bounced: none is taken."""
    office.send(), office.send()
    event = office.take_one(notice(returned=["Reply-To: mari@acme.example.com"]))
    assert (event.match.matched_by, event.match.outbound_id) == ("reply-to", None)


@pytest.mark.parametrize(
    ("original", "subject", "ours"),
    [
        ("x@erp.example.net", "Reminder", False),
        (None, "Reminder", True),  # an id would tell; a subject alone may have been changed
        ("x@erp.example.net", "[SPAM?]  INVOICE", True),
        ("x@erp.example.net", "Fwd: Invoice", False),
        ("x@erp.example.net", "RE: Invoice", False),
        (None, "Re: Invoice", True),
        ("x@erp.example.net", None, True),
    ],
)
def test_another_message_to_the_recipient(office, original, subject, ours):
    """The ERP and the user's mail program write to the same people: another id and another subject are not ours."""
    sent = office.send()
    raw = notice(original=original, returned=["Reply-To: jaan@acme.example.com"])
    raw = raw.replace(b"Subject: Invoice", f"Subject: {subject}".encode() if subject else b"Comments: none")
    match = office.take_one(raw).match
    assert (match.matched_by, match.user) == (("recipient", "MARI") if ours else ("reply-to", "JAAN"))
    assert office.states(sent) == {GONE: "bounced" if ours else "accepted"}


def test_what_no_server_took_does_not_bounce(office):
    """Refused at once, or still queued: the bounce is about the other message."""
    sent = office.send()
    later = office.send()
    with office.store.writing() as connection:
        rows = connection.scalars(
            select(tables.OutboundRecipient.id)
            .join(tables.Delivery, tables.Delivery.id == tables.OutboundRecipient.delivery_id)
            .where(tables.Delivery.outbound_id == later.id)
        ).all()
        deliveries.set_recipients(connection, rows, outbound.RecipientState.REFUSED, "550 no", datetime.now(UTC))
    assert office.take_one(notice()).match.outbound_id == sent.id


def test_only_of_messages_whose_bounces_come_here(office):
    """A message that went out from the user's own address does not bounce to the event mailbox, nor the other way."""
    office.send()
    office.card("JAAN", mail_sender="directo")
    own = office.send(user="JAAN")
    assert office.take_one(notice()).match.user == "MARI"
    for to in ("jaan@acme.example.com", "somewhere@acme.example.com"):
        event = office.take_one(notice(to=to), user="JAAN")
        assert (event.match.matched_by, event.match.outbound_id) == ("recipient", own.id)


@pytest.mark.parametrize(("days", "found"), [(6, True), (8, False), (-1, False)])
def test_only_lately(office, days, found):
    """A week after a message servers have given up; and none bounces before it was sent."""
    sent = office.send()
    came = datetime.now(UTC) - timedelta(days=10)
    with office.store.writing() as connection:
        connection.execute(update(tables.Outbound).values(created_at=came - timedelta(days=days)))
    (event,) = office.take(notice(), at=came)
    assert event.match.outbound_id == (sent.id if found else None)


@pytest.mark.parametrize(
    ("date", "found"), [("1 Jan 0001 00:00:00 +0000", False), ("31 Dec 9999 23:59:59 +0000", True)]
)
def test_a_file_of_any_date(office, tmp_path, date, found):
    """Of a replayed file only its own date is known: the first and the last of all times stop nothing."""
    sent = office.send()
    (tmp_path / "a.eml").write_bytes(notice(own=[f"Date: {date}"]))
    (event,) = replay.store([tmp_path], office.store, office.config, office.keyring)
    assert event.match.outbound_id == (sent.id if found else None)


# The message is not ours: only the user is known.


def test_inferred_with_the_present_sender_config(office):
    """A returned Reply-To names a user: tied to what that user sends with now."""
    office.card("MARI", mail_sender="smtp", smtp_server="smtp.example.net:465")
    event = office.take_one(notice(ELSEWHERE, returned=["Reply-To: Mari <MARI@acme.example.com>"]))
    assert (event.match.matched_by, event.match.user, event.match.mode) == ("reply-to", "MARI", "smtp")
    assert event.match.sender_config["server"] == {"host": "smtp.example.net", "port": 465}
    assert (event.match.document, event.match.outbound_id) == (None, None)


def test_a_card_that_is_not_in_order(office):
    """A sender config that cannot be resolved stops no notice."""
    office.card("MARI", mail_sender="smtp", smtp_server="")
    event = office.take_one(notice(ELSEWHERE, returned=["From: mari@acme.example.com"]))
    assert (event.match.matched_by, event.match.user) == ("reply-to", "MARI")
    assert (event.match.mode, event.match.sender_config) == (None, None)


def test_two_users_with_one_address(office):
    """Nobody knows which of them it was."""
    office.card("JAAN", email="mari@acme.example.com")
    event = office.take_one(notice(ELSEWHERE, returned=["Reply-To: mari@acme.example.com"]))
    assert (event.match.matched_by, event.match.user) == (None, None)


def test_a_users_own_mailbox(office):
    """What comes there and tells nothing else is about that user's mail; a returned address says more."""
    event = office.take_one(notice(ELSEWHERE, to="mari@acme.example.com"), user="MARI")
    assert (event.match.matched_by, event.match.user, event.match.mode) == ("reply-to", "MARI", "directo-reply-to")
    told = ["From: jaan@acme.example.com"]
    event = office.take_one(notice(ELSEWHERE, to="mari@acme.example.com", returned=told), user="MARI")
    assert (event.match.matched_by, event.match.user) == ("reply-to", "JAAN")


HOSTILE = ["a\0b@example.com", "ä" * 900 + "@example.com", "%' OR 1=1 --@example.com", "+00@x.example.com"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_ids(office, text):
    """Ids of any text are looked for, and stop nothing."""
    raw = notice(text, envid="+00+0A", original=text, own=[f"References: <{text}> <{text}>"], to=f"acme+{text}")
    assert [event.match.matched_by for event in office.take(raw)] == [None]
