"""From a refused mail to what support reads: Postfix, Dovecot, the daemon, the command line."""

import json
import signal
import smtplib
from email.message import EmailMessage

import pytest

from tests.integration.running import Service, bounce, box, number_of, unreadable
from tests.servers.process import wait_for

ADDRESS = "ACME@event.data.example.net"

REFUSALS = {
    "gone@customer.example.com": "550 5.1.1 <gone@customer.example.com>: Recipient address rejected: User unknown",
    "full@customer.example.com": "552 5.2.2 <full@customer.example.com>: Mailbox full",
    "strict@partner.example.org": "550 5.7.23 SPF validation failed: 192.0.2.25 may not send for erp.example.net",
    "quiet@partner.example.org": "550 no",
}
AFTER_DATA = {"filtered@partner.example.org": "554 5.7.1 Message rejected as spam by content filter"}

EXPECTED = {  # recipient: kind, cause, permanent, status, smtp_code
    "gone@customer.example.com": ("bounce", "user-unknown", True, "5.1.1", 550),
    "full@customer.example.com": ("bounce", "mailbox-full", False, "5.2.2", 552),
    "strict@partner.example.org": ("bounce", "spf-failed", False, "5.7.23", 550),
    "filtered@partner.example.org": ("bounce", "spam-content", False, "5.7.1", 554),
    "taken@customer.example.com": ("relayed", None, None, "2.0.0", 250),
}


def invoice(number: int) -> EmailMessage:
    """A mail as the ERP sends it with directo-reply-to."""
    message = EmailMessage()
    message["From"] = f"ACME <{ADDRESS}>"
    message["Reply-To"] = "Mari Maasikas <mari@acme.example.com>"
    message["To"] = "customer@example.com"
    message["Subject"] = f"Invoice {number}"
    message["Message-ID"] = f"<invoice-{number}@erp.example.net>"
    message.set_content("Please pay.\n")
    return message


def test_a_refused_mail_becomes_an_event(start_dovecot, start_postfix, sink, new_service):
    """Each refusal is told to support: whose mail it was, to whom, why, and what the server said; over each TLS."""
    dovecot = start_dovecot()
    postfix = start_postfix(relay_port=sink.port, lmtp_port=dovecot.lmtp_port)
    sink.rcpt |= REFUSALS
    sink.data |= AFTER_DATA
    acme = box(dovecot, "acme", username=ADDRESS, after="move:Done")
    directo = {"event_domain": "event.data.example.net"}
    service = new_service(acme, directo=directo)
    dovecot.deliver("acme", folder="Done")
    mari = ("MARI", "--company", "acme", "--name", "Mari Maasikas", "--email", "mari@acme.example.com")
    assert service.command("companies", "add", "acme").returncode == 0
    assert service.command("users", "add", *mari).returncode == 0
    service.start()

    sent: dict[str, int] = {}
    with smtplib.SMTP(postfix.host, postfix.port, timeout=20) as client:
        for number, recipient in enumerate([*REFUSALS, *AFTER_DATA, "taken@customer.example.com"], 1):
            client.send_message(invoice(number), ADDRESS, [recipient], rcpt_options=["NOTIFY=SUCCESS,FAILURE"])
            sent[recipient] = number
    service.wait_for_events(6)
    service.configure(acme | {"tls": "starttls", "port": dovecot.port}, directo=directo)
    service.send(signal.SIGHUP)
    service.wait_for_line("configuration read again")
    with smtplib.SMTP(postfix.host, postfix.port, timeout=20) as client:
        client.send_message(invoice(99), ADDRESS, ["gone@customer.example.com", "full@customer.example.com"])
    service.wait_for_events(8)
    service.wait_until_quiet()
    wait_for(lambda: not postfix.queue(), seconds=20, what="an empty queue")

    events = service.listed()
    assert len(events) == 8
    of_one_mail = [event for event in events if event["original_message_id"] == "invoice-99@erp.example.net"]
    assert {event["recipient"] for event in of_one_mail} == {"gone@customer.example.com", "full@customer.example.com"}
    found = {event["recipient"]: event for event in events if event not in of_one_mail}
    assert {
        recipient: tuple(event[key] for key in ("kind", "cause", "permanent", "status", "smtp_code"))
        for recipient, event in found.items()
        if recipient in EXPECTED
    } == EXPECTED
    assert found["quiet@partner.example.org"]["smtp_code"] == 550
    for recipient, event in found.items():
        assert event["original_message_id"] == f"invoice-{sent[recipient]}@erp.example.net"
        assert event["subject"] == f"Invoice {sent[recipient]}"
        assert (event["company"], event["user"], event["matched_by"]) == ("acme", "MARI", "reply-to")
        assert event["mailbox"] == "acme"
        assert event["reporting_mta"] == "relay.test"

    gone = found["gone@customer.example.com"]
    told = service.command("events", "show", gone["id"]).stdout
    for words in ("gone@customer.example.com", "user-unknown", "Invoice 1", "MARI", "Who must act", "What to do"):
        assert words in told
    raw = service.command("events", "show", gone["id"], "--raw", text=False).stdout
    assert raw in {message.raw for message in dovecot.messages("acme", "Done")}
    assert dovecot.messages("acme") == []
    assert counted(service, "cause")["user-unknown"] == 2
    assert counted(service, "domain") == {"customer.example.com": 5, "partner.example.org": 3}
    assert counted(service, "user") == {"acme/MARI": 8}
    assert service.listed("--recipient", "FULL@customer.example.com", "--cause", "mailbox-full", "--limit", "1")
    assert service.end() == 0


def counted(service: Service, by: str) -> dict[str, int]:
    """What `bounced stats` counts."""
    answer = service.command("stats", "--by", by, "--format", "jsonl")
    assert answer.returncode == 0
    rows = [json.loads(line) for line in answer.stdout.splitlines()]
    return {row[by]: row["events"] for row in rows}


ORDINARY = """\
From: Jaan Tamm <jaan@customer.example.com>
To: mari@acme.example.com
Subject: number {number}
Message-ID: <ordinary-{number}@customer.example.com>
{further}
Pr1vate-unlikely words that are nobody's business.
"""


def ordinary(number: int, further: str = "") -> bytes:
    """What a user gets from people."""
    return ORDINARY.format(number=number, further=further).replace("\n", "\r\n").encode()


@pytest.mark.parametrize("after", ["seen", "move:Done", "delete"])
def test_a_users_own_mailbox(start_dovecot, new_service, after):
    """Bounces are taken; ordinary mail and replies are never stored, changed or deleted, whatever happens."""
    dovecot = start_dovecot()
    dovecot.deliver("mari", folder="Done")
    replies = (ordinary(100, "Auto-Submitted: auto-replied\n"), ordinary(101, "In-Reply-To: <x@erp.example.net>\n"))
    mails = [*map(ordinary, range(0, 50, 2)), *(bounce(number) for number in range(1, 50, 2) if number % 10 != 7)]
    dovecot.deliver("mari", *sorted(mails, key=number_of), *replies)
    bounces = [number for number in range(1, 50, 2) if number % 10 != 7]
    kept = [*range(0, 50, 2), 100, 101]
    service = new_service(box(dovecot, "mari", user="MARI", after=after))
    card = ("--company", "acme", "--email", "mari@acme.example.com")
    assert service.command("users", "add", "MARI", *card).returncode == 0
    service.start(faults="impatient,small-batches")
    service.wait_until(lambda: len(service.stored_uids("mari")) == len(bounces), "the bounces")
    service.wait_until_quiet()

    with unreadable(dovecot, "mari", 20):  # an ordinary message
        dovecot.reset_uidvalidity("mari")
        service.wait_until(service.open, "a message that stays open")
    service.wait_until(lambda: not service.open(), "its end")
    service.wait_until_quiet()
    assert service.end() == 0

    assert sorted(number_of(raw) for raw in service.raws("mari").values() if raw) == bounces
    assert {(event["company"], event["user"]) for event in service.listed()} == {("acme", "MARI")}
    assert "other" not in {event["kind"] for event in service.listed()}
    there = {number_of(message.raw): message for message in dovecot.messages("mari")}
    assert sorted(there) == sorted([*kept, *bounces] if after == "seen" else kept)
    assert all(there[number].flags == set() for number in kept)
    assert all(there[number].raw == ordinary(number) for number in kept if number < 100)
    if after == "seen":
        assert all(there[number].flags == {"\\Seen"} for number in bounces)
    done = [number_of(message.raw) for message in dovecot.messages("mari", "Done")]
    assert sorted(done) == (bounces if after == "move:Done" else [])
    written = service.log_text() + "".join(path.read_text("latin-1") for path in service.folder.glob("bounced.db*"))
    for words in ("Pr1vate", "jaan@customer", "ordinary-"):
        assert words not in written


@pytest.mark.parametrize("company", ["acme", "acne"])
def test_a_mailbox_of_nobody(dovecot, mailbox, new_service, company):
    """A mistyped user or company: one line says it, to `poll`, `check` and `status`; nothing is read or made known."""
    dovecot.deliver(mailbox.user, bounce(1))
    service = new_service(box(dovecot, mailbox.user, company=company, user="MARRI"))
    assert service.command("users", "add", "MARI", "--company", "acme").returncode == 0
    expected = f"there is no user MARRI in company {company}: add the card with `bounced users add`"
    polled = service.command("poll", "--once")
    assert polled.returncode == 1
    assert expected in polled.stdout + polled.stderr
    checked = service.command("check")
    assert checked.returncode == 1
    assert (checked.stdout + checked.stderr).count(expected) == 1
    assert expected in service.command("status").stdout
    assert service.count() == 0
    listed = service.command("companies", "list", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["name"] for line in listed] == ["acme"]
