"""`events show`: what support reads about a message that was sent, on top of what every event has."""

import json
from pathlib import Path

import pytest
from sqlalchemy import update

from bounced.store import tables
from bounced.store.engine import Store
from tests.servers.fixtures import sink
from tests.service.office import complaint, notice

__all__ = ["sink"]

CUSTOMER = "accounts@customer.example.com"
SPF = "550 5.7.23 SPF validation failed"


@pytest.fixture
def sent(bounced, sink):
    """A refused invoice, sent by MARI through the server of HQ; its event's id."""
    hq = ("--mail-sender", "smtp", "--smtp-server", f"127.0.0.1:{sink.port}")
    assert bounced("users", "add", "HQ", "--company", "acme", *hq).exit == 0
    assert bounced("companies", "set", "acme", "--mail-sending-user", "HQ").exit == 0
    assert bounced("users", "add", "MARI", "--company", "acme", "--email", "mari@acme.example.com").exit == 0
    sink.rcpt[CUSTOMER] = SPF
    letter = ("--subject", "Your invoice", "--text", "Pay.", "--document", "Invoice 1042")
    answer = bounced("send", "--company", "acme", "--user", "MARI", "--to", CUSTOMER, *letter, "--now")
    assert answer.exit == 0, answer.err
    (event,) = listed(bounced)
    return event["id"]


def listed(bounced) -> list[dict]:
    """The stored events, newest first."""
    return [json.loads(line) for line in bounced("events", "--format", "jsonl").out.splitlines()]


def test_one_sentence_says_it(bounced, sink, sent):
    """Which document, to whom, by whom, through which server, from whose card, and what came of it."""
    server = f"127.0.0.1:{sink.port}"
    told = bounced("events", "show", sent).out
    assert (
        f"Invoice 1042 to {CUSTOMER}, sent by MARI through {server} "
        "(server from the company-wide user HQ, no login) was refused: SPF check failed."
    ) in told
    assert f"Server:         {server} (from the company-wide user HQ)" in told
    assert "{" not in told


def test_the_way_of_the_message(bounced, sent):
    """Submitted, tried, answered, and its events, each with its time and in that order."""
    told = bounced("events", "show", sent).out
    lines = told.partition("Timeline:\n")[2].partition("\n\n")[0].splitlines()
    assert [line[22:] for line in lines] == [
        "submitted",
        "tries: 1, done",
        f"{CUSTOMER}, refused, {SPF}",
        f"bounce, {CUSTOMER}, spf-failed, {sent}",
    ]
    times = [line[:20] for line in lines]
    assert times == sorted(times)
    assert all(time.endswith("Z") for time in times)


def test_the_same_in_estonian(bounced, sent, monkeypatch):
    """A user whose locale is Estonian reads no English but the server's."""
    monkeypatch.setenv("LC_ALL", "et_EE.UTF-8")
    told = bounced("events", "show", sent).out
    assert f"Invoice 1042 saajale {CUSTOMER}, saatja MARI, tee 127.0.0.1:" in told
    assert "(server üldkasutajalt HQ, sisselogimiseta) lükati tagasi: SPF-kontroll ebaõnnestus." in told
    for english in ("sent by", "submitted", "refused", "Timeline", "Server's", "tries"):
        assert english not in told


def take(bounced, raw: bytes) -> dict:
    """The event of one notice that comes to acme's event address."""
    known = {event["id"] for event in listed(bounced)}
    Path("notice.eml").write_bytes(raw.replace(b"acme@event.data.example.net", b"acme@event.data.directo.ee"))
    assert bounced("replay", "--store", "notice.eml").exit == 0
    (event,) = (event for event in listed(bounced) if event["id"] not in known)
    return event


@pytest.mark.parametrize("kind", ["forwarded", "nobody", "auto-reply"])
def test_whom_it_was_written_to(bounced, sent, kind):
    """A notice names whom the mail was forwarded to, or nobody: it was written to the one recipient that it had."""
    message_id = listed(bounced)[0]["original_message_id"]
    named = None if kind == "nobody" else "elsewhere@forward.example.org"
    raw = notice(named, own=[f"In-Reply-To: <{message_id}>"])
    if kind == "auto-reply":
        head = (f"From: {named}", "To: acme@event.data.example.net", "Subject: Automatic reply: Your invoice")
        raw = "\r\n".join([*head, f"In-Reply-To: <{message_id}>", "Auto-Submitted: auto-replied", "", "x"]).encode()
    event = take(bounced, raw)
    assert (event["recipient"], event["document"]) == (named, "Invoice 1042")
    told = bounced("events", "show", event["id"]).out
    assert f"Invoice 1042 to {CUSTOMER}, sent by MARI" in told
    assert f"Recipient:      {CUSTOMER}\n" in told
    assert ("Forwarded to:   elsewhere@forward.example.org" in told) == (kind == "forwarded")
    assert ("Answered by:    elsewhere@forward.example.org" in told) == (kind == "auto-reply")
    assert ("Write again:    no, not to this address" in told) == (kind == "nobody"), "the other address is of no use"


def test_which_of_several_bounced(bounced, sink):
    """Only the token tells it: the sentence names nobody, and the way of the message tells each recipient's state."""
    Path("bounced.toml").write_text(f'[directo]\nrelay = "127.0.0.1:{sink.port}"\nenvelope = "verp"\n')
    own = ("--email", "mari@acme.example.com", "--mail-sender", "directo-reply-to")
    assert bounced("users", "add", "MARI", "--company", "acme", *own).exit == 0
    letter = ("--to", "fine@customer.example.com", "--to", CUSTOMER, "--subject", "x", "--text", "x", "--document", "4")
    assert bounced("send", "--company", "acme", "--user", "MARI", *letter, "--now").exit == 0
    (envelope,) = (one.mail_from for one in sink.received if CUSTOMER in one.recipients)
    event = take(bounced, notice(None, to=envelope))
    told = bounced("events", "show", event["id"]).out
    assert "\n4, sent by MARI through Directo's server" in told
    way = [line[22:] for line in told.partition("Timeline:\n")[2].partition("\n\n")[0].splitlines()]
    assert way[-2:] == [f"bounce, user-unknown, {event['id']}", f"{CUSTOMER}, bounced"]


def test_a_domain_in_its_own_letters(bounced, sink):
    """The notice may tell the address as it is read: it is the one that was written to."""
    Path("bounced.toml").write_text(f'[directo]\nrelay = "127.0.0.1:{sink.port}"\n')
    assert bounced("users", "add", "MARI", "--company", "acme", "--email", "mari@acme.example.com").exit == 0
    letter = ("--to", "gone@näide.example.com", "--subject", "x", "--text", "x", "--document", "5")
    message_id = bounced("send", "--company", "acme", "--user", "MARI", *letter, "--now").out.split()[0]
    event = take(bounced, notice("gone@näide.example.com", original=f"{message_id}@acme.example.com"))
    told = bounced("events", "show", event["id"]).out
    assert "5 to gone@näide.example.com, sent by MARI" in told
    assert "Forwarded to" not in told


@pytest.mark.parametrize("reply", ["550 4.4.7 Delivery time expired", "550 5.4.4 Host not found"])
def test_what_nobody_refused(bounced, sent, reply):
    """A mail that no server was there for, or none that answered, was not refused."""
    event = take(bounced, notice(CUSTOMER, original=listed(bounced)[0]["original_message_id"], reply=reply))
    told = bounced("events", "show", event["id"]).out
    assert ") was not delivered: " in told
    assert "was refused" not in told


@pytest.mark.parametrize("snapshot", [{"mode": "pigeon", "wings": 2}, {"server": "x"}, {"mode": None}])
def test_a_sender_config_of_another_time(bounced, sent, tmp_path, snapshot):
    """What an older version kept, and this one cannot read, is shown as it was kept."""
    with Store.open(f"sqlite:///{tmp_path / 'var/bounced.db'}") as store, store.writing() as connection:
        connection.execute(update(tables.Event).values(sender_config=snapshot))
    shown = bounced("events", "show", sent)
    assert (shown.exit, shown.err) == (0, "")
    assert f"Invoice 1042 to {CUSTOMER}, sent by MARI was refused: SPF check failed." in shown.out


def test_inferred(bounced, tmp_path):
    """Of mail that the ERP sent itself the user is known, and what is said of the sender config is marked."""
    bounced("users", "add", "MARI", "--company", "acme", "--email", "mari@acme.example.com")
    returned = ["Reply-To: mari@acme.example.com"]
    raw = notice(to="acme@event.data.directo.ee", returned=returned)
    (tmp_path / "a.eml").write_bytes(raw)
    bounced("replay", "--store", str(tmp_path / "a.eml"))
    (event,) = listed(bounced)
    told = bounced("events", "show", event["id"]).out
    assert "presumably sent by MARI through Directo's server directo.gate.ee:25 (mail sender by default)" in told
    assert "reply-to (inferred)" in told
    assert "Sends with now:" in told
    assert event["mode"] == "directo"


def test_feedback_that_is_no_complaint(bounced, sent, tmp_path):
    """Nobody complained who took the mail out of the junk folder: the sentence says what came instead."""
    message_id = listed(bounced)[0]["original_message_id"]
    raw = complaint(CUSTOMER, message_id).replace(b"Feedback-Type: abuse", b"Feedback-Type: not-spam")
    (tmp_path / "feedback.eml").write_bytes(raw.replace(b"acme@event.data.example.net", b"acme@event.data.directo.ee"))
    assert bounced("replay", "--store", str(tmp_path / "feedback.eml")).exit == 0
    event = next(one for one in listed(bounced) if one["kind"] == "complaint")
    told = bounced("events", "show", event["id"]).out
    assert "was reported by the receiving side: not-spam." in told
    assert f"complaint, {CUSTOMER}, not-spam, {event['id']}" in told
