"""`events show`: what support reads about a message that was sent, on top of what every event has."""

import json

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
