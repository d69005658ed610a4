"""What is sent, refused and bounced, tied together: our outbox, Postfix, Dovecot, our polls."""

import json
import re
from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, update

from bounced.store import tables
from tests.integration.running import Service, box
from tests.servers.authority import Authority
from tests.servers.dovecot import Dovecot
from tests.servers.microsoft import CLIENT_ID, MicrosoftLogin
from tests.servers.process import wait_for

ADDRESS = "acme@event.data.example.net"
DOMAIN = {"event_domain": "event.data.example.net"}

REFUSALS = {
    "gone@customer.example.com": ("550 5.1.1 User unknown", "user-unknown"),
    "full@customer.example.com": ("552 5.2.2 Mailbox full", "mailbox-full"),
    "moved@customer.example.com": ("551 5.1.6 User has moved", "mailbox-moved"),
    "off@customer.example.com": ("550 5.2.1 The mailbox is disabled", "mailbox-disabled"),
    "spf@partner.example.org": ("550 5.7.23 SPF validation failed", "spf-failed"),
    "dmarc@partner.example.org": ("550 5.7.26 rejected because of the DMARC policy of the domain", "dmarc-failed"),
    "listed@partner.example.org": ("554 5.7.1 Client host [192.0.2.25] blocked using zen.example.org", "ip-blocked"),
    "relay@partner.example.org": ("554 5.7.1 Relay access denied", "relay-denied"),
}
AFTER_DATA = {
    "spam@partner.example.org": ("554 5.7.1 Message rejected as spam by content filter", "spam-content"),
    "virus@partner.example.org": ("554 5.7.1 A virus was found in the message", "virus-found"),
}
CAUSES = {recipient: cause for recipient, (_, cause) in (REFUSALS | AFTER_DATA).items()}


def send(service: Service, *recipients: str, document: str, **options: str) -> str:
    """Hand a message to the outbox; its id."""
    given = [f for name, value in options.items() for f in (f"--{name}", value)]
    to = [f for recipient in recipients for f in ("--to", recipient)]
    answer = service.command(
        *("send", "--company", "acme", "--user", "MARI", "--subject", f"{document} õ", "--text", "Palun maksa.\n"),
        *("--document", document, *to, *given),
    )
    assert answer.returncode == 0, answer.stderr
    return str(answer.stdout.strip())


def add_user(service: Service, code: str = "MARI", **card: str) -> None:
    """A user card of acme."""
    card = {"name": "Mari Põld", "email": f"{code.lower()}@acme.example.com"} | card
    options = [f for name, value in card.items() for f in (f"--{name.replace('_', '-')}", value)]
    answer = service.command("users", "add", code, "--company", "acme", *options)
    assert answer.returncode == 0, answer.stderr


def test_a_refusal_at_once_is_an_event(sink, new_service, dovecot, mailbox):
    """Refused by the first server: the same event without any bounce; the other recipient gets the message."""
    sink.rcpt["gone@customer.example.com"] = "550-5.1.1 No such\r\n550 5.1.1 user"
    service = new_service(box(dovecot, mailbox.user), directo=DOMAIN | {"relay": f"127.0.0.1:{sink.port}"})
    add_user(service)
    service.start()
    sent = send(service, "gone@customer.example.com", "fine@customer.example.com", document="Invoice 1")
    service.wait_for_events(1)
    (event,) = service.listed()
    assert (event["source"], event["outbound_id"]) == (f"smtp:{sent}", sent)
    assert (event["kind"], event["cause"], event["permanent"]) == ("bounce", "user-unknown", True)
    assert (event["recipient"], event["smtp_code"], event["status"]) == ("gone@customer.example.com", 550, "5.1.1")
    assert event["diagnostic"] == "550 5.1.1 No such 5.1.1 user"
    assert [message.recipients for message in sink.wait(1)] == [("fine@customer.example.com",)]
    assert sink.received[0].mail_from == "mari@acme.example.com"
    wait_for(lambda: not outbox(service), seconds=20, what="an empty outbox")
    assert service.end() == 0


SUBMISSION = {
    "smtpd_tls_security_level": "encrypt",
    "smtpd_sasl_auth_enable": "yes",
    "smtpd_sasl_type": "dovecot",
    "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
    "mynetworks": "192.0.2.0/24",
}


@pytest.fixture
def submission(start_dovecot, start_postfix, sink, authority):
    """A Postfix that takes mail after a login with TLS only, and brings bounces to the users' own mailboxes."""
    dovecot = start_dovecot()
    postfix = start_postfix(
        relay_port=sink.port,
        lmtp_port=dovecot.lmtp_port,
        event_domain="acme.example.com",
        main=submission_settings(authority, dovecot),
    )
    return dovecot, postfix


def submission_settings(authority: Authority, dovecot: Dovecot) -> dict[str, str]:
    """What makes a Postfix want TLS and a login."""
    certificate, key = authority.issue("127.0.0.1")
    tls = {"smtpd_tls_cert_file": str(certificate), "smtpd_tls_key_file": str(key)}
    return SUBMISSION | tls | {"smtpd_sasl_path": f"inet:127.0.0.1:{dovecot.sasl_port}"}


NOTICE = "Undelivered Mail Returned to Sender"
FORWARDED, ELSEWHERE = "forwarded@customer.example.com", "gone@elsewhere.example.org"
FORWARDS = {"virtual_alias_maps": f"inline:{{ {{ {FORWARDED} = {ELSEWHERE} }} }}"}
NO_DSN = {"smtpd_discard_ehlo_keywords": "dsn"}
RETURNED = {  # what a bounce tells of the message
    "ids": {},
    "headers": NO_DSN,
    "nothing": NO_DSN | {"internal_mail_filter_classes": "bounce", "nested_header_checks": "regexp:{ {/^/ IGNORE} }"},
}
MODES = {  # sender mode, [directo] envelope, and what is returned -> how bounces are matched
    ("directo", "plain", "ids"): "envid",
    ("smtp", "plain", "ids"): "envid",
    ("microsoft365", "plain", "ids"): "envid",
    ("directo-reply-to", "plain", "ids"): "envid",
    ("directo-reply-to", "verp", "ids"): "verp",
    ("directo-reply-to", "plain", "headers"): "message-id",
    ("directo", "plain", "nothing"): "recipient",
    ("smtp", "plain", "nothing"): "recipient",
    ("microsoft365", "plain", "nothing"): "recipient",
    ("directo-reply-to", "plain", "nothing"): "recipient",
    ("directo-reply-to", "verp", "nothing"): "verp",
}


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "envelope", "returned"), MODES)
def test_each_bounce_is_tied_to_what_was_sent(
    start_dovecot, start_postfix, sink, new_service, authority, microsoft, mode, envelope, returned
):
    """Ten ways to be refused, and a forwarded one, in each mode: each event names message, user and document."""
    sink.rcpt |= {recipient: reply for recipient, (reply, _) in REFUSALS.items()} | {ELSEWHERE: "550 5.1.1 no"}
    sink.rcpt["late@customer.example.com"] = "552 5.2.2 over quota"
    sink.data |= {recipient: reply for recipient, (reply, _) in AFTER_DATA.items()}
    dovecot = start_dovecot()
    to_company = mode == "directo-reply-to"
    main = FORWARDS | {"recipient_delimiter": "+"} | RETURNED[returned]
    if mode in ("smtp", "microsoft365"):
        main |= submission_settings(authority, dovecot)
    postfix = start_postfix(
        relay_port=sink.port,
        lmtp_port=dovecot.lmtp_port,
        event_domain=DOMAIN["event_domain"] if to_company else "acme.example.com",
        main=main,
    )
    server = f"{postfix.host}:{postfix.port}"
    own = box(dovecot, "mari", username="mari@acme.example.com", user="MARI")
    service = new_service(
        box(dovecot, "acme", username=ADDRESS) if to_company else own,
        directo=DOMAIN | {"relay": server, "envelope": envelope},
        send={"ca_file": str(authority.ca_file)},
        microsoft365={"client_id": CLIENT_ID, "authority": microsoft.url, "server": server},
    )
    service.environment["OWN"] = dovecot.password
    login = {"smtp_server": server, "smtp_username": "mari@acme.example.com", "password": "env:OWN"}
    add_user(service, mail_sender=mode, **(login if mode == "smtp" else {}))
    if mode == "microsoft365":
        log_in(service, microsoft)
        dovecot.tokens |= dict.fromkeys(microsoft.tokens, "mari")
    service.start(faults="logs-everything")
    wanted = CAUSES | {FORWARDED: "user-unknown"}
    sent = {recipient: send(service, recipient, document=f"Invoice {n}") for n, recipient in enumerate(wanted, 1)}
    wanted |= {"late@customer.example.com": "mailbox-full"}
    several = send(service, "late@customer.example.com", "fine@customer.example.com", document="Letter 7")
    service.wait_for_events(12)
    service.wait_until_quiet()

    events = service.listed()
    assert len(events) == 12
    for event in events:
        document = event["document"]
        assert (event["matched_by"], event["forged"]) == (MODES[mode, envelope, returned], False)
        assert (event["company"], event["user"], event["mode"]) == ("acme", "MARI", mode)
        assert event["sender_config"]["server"] == {"host": postfix.host, "port": postfix.port}
        assert event["outbound_id"] == (several if document == "Letter 7" else sent[event["recipient"]])
        assert event["subject"] == (NOTICE if returned == "nothing" else f"{document} õ")
        assert event["cause"] == wanted[event["recipient"]]
    taken = sink.wait(1)
    assert [message.recipients for message in taken] == [("fine@customer.example.com",)]
    assert b"From: =?utf-8?" in taken[0].raw
    assert (b"Reply-To: mari@acme.example.com" in taken[0].raw) == to_company
    assert service.end() == 0
    logged = service.log_text()
    assert '"level": "debug"' in logged
    for secret in (dovecot.password, *microsoft.tokens, "Palun maksa"):
        assert secret not in logged


def test_through_the_companys_server(submission, sink, new_service, authority):
    """Server from the mail sending user, login of her own; what bounces is found in her own mailbox."""
    dovecot, postfix = submission
    sink.rcpt["gone@customer.example.com"] = "550 5.1.1 User unknown"
    own = box(dovecot, "mari", username="mari@acme.example.com", user="MARI")
    service = new_service(own, send={"ca_file": str(authority.ca_file)})
    service.environment["OWN"] = dovecot.password
    add_user(service, "HQ", mail_sender="smtp", smtp_server=f"{postfix.host}:{postfix.port}")
    add_user(service, smtp_username="mari@acme.example.com", password="env:OWN")
    assert service.command("companies", "set", "acme", "--mail-sending-user", "HQ").returncode == 0
    service.start()
    sent = send(service, "gone@customer.example.com", document="Invoice 1042")
    service.wait_for_events(1)
    (event,) = service.listed()
    assert (event["outbound_id"], event["matched_by"], event["cause"]) == (sent, "envid", "user-unknown")
    assert (event["user"], event["mode"], event["mailbox"]) == ("MARI", "smtp", "mari")
    config = event["sender_config"]
    assert config["server_origin"] == {"source": "mail-sending-user", "card": "HQ"}
    assert config["login"]["origin"] == {"source": "own-card", "card": "MARI"}
    assert config["from_address"] == "mari@acme.example.com"
    assert dovecot.password not in json.dumps(event) + service.log_text()
    assert service.end() == 0


def test_a_wrong_password_pauses_its_messages_only(submission, sink, new_service, authority):
    """One event names the login, however often it is tried; when the card is mended, the message goes out."""
    dovecot, postfix = submission
    service = new_service(
        box(dovecot, "mari", username="mari@acme.example.com", user="MARI"), send={"ca_file": str(authority.ca_file)}
    )
    server = f"{postfix.host}:{postfix.port}"
    service.environment |= {"WRONG": "secret-but-wrong", "OWN": dovecot.password}
    card = {"mail_sender": "smtp", "smtp_server": server, "smtp_username": "mari@acme.example.com"}
    add_user(service, password="env:WRONG", **card)
    service.start()
    send(service, "fine@customer.example.com", document="Invoice 1")
    service.wait_for_events(1)
    (event,) = service.listed()
    assert (event["cause"], event["recipient"], event["smtp_code"]) == ("login-failed", None, 535)
    (waiting,) = outbox(service)
    assert waiting["state"] == "queued"
    assert "secret-but-wrong" not in json.dumps(event) + json.dumps(waiting) + service.log_text()
    kept = b"".join(path.read_bytes() for path in service.folder.glob("bounced.db*"))
    assert b"secret-but-wrong" not in kept
    assert "Palun maksa" not in service.log_text()
    assert service.command("users", "set", "MARI", "--company", "acme", "--password", "env:OWN").returncode == 0
    assert [message.recipients for message in sink.wait(1, seconds=90)] == [("fine@customer.example.com",)]
    assert service.end() == 0


@pytest.fixture
def microsoft(authority):
    """Microsoft's login; what it gives counts for nothing until somebody tells the mail server."""
    login = MicrosoftLogin(authority)
    yield login
    login.close()


def log_in(service: Service, microsoft: MicrosoftLogin) -> None:
    """MARI logs in to Microsoft 365."""
    with service.running_command("users", "login", "MARI", "--company", "acme") as logging_in:
        code = re.search(r"enter the code (\S+),", logging_in.stdout.readline())
        assert code
        microsoft.enter(code[1], "mari@acme.example.com")
        assert "logged in to Microsoft 365 as mari@acme.example.com" in logging_in.stdout.read()


def test_through_microsoft(submission, microsoft, sink, new_service, authority):
    """A person logs in with a device code; a token that is refused (ERR: 334) is told in words, a good one sends."""
    dovecot, postfix = submission
    sink.rcpt["gone@customer.example.com"] = "550 5.1.1 User unknown"
    service = new_service(
        box(dovecot, "mari", username="mari@acme.example.com", user="MARI"),
        send={"ca_file": str(authority.ca_file)},
        microsoft365={
            "client_id": CLIENT_ID,
            "authority": microsoft.url,
            "server": f"{postfix.host}:{postfix.port}",
        },
    )
    add_user(service, mail_sender="microsoft365")
    log_in(service, microsoft)
    service.start()
    sent = send(service, "gone@customer.example.com", document="Invoice 1")
    service.wait_for_events(1)
    (event,) = service.listed()
    assert (event["cause"], event["recipient"], event["smtp_code"]) == ("login-failed", None, 535)
    assert "status 401" in event["diagnostic"]
    assert "334" not in event["diagnostic"]
    given = list(microsoft.tokens)
    assert not any(token in json.dumps(event) + service.log_text() for token in given)

    dovecot.tokens |= dict.fromkeys(microsoft.tokens, "mari")
    with service.store() as store, store.writing() as connection:
        connection.execute(delete(tables.SenderPause))
        connection.execute(update(tables.Delivery).values(due_at=datetime.now(UTC)))
    service.wait_for_events(2)
    (bounced, _) = service.listed()
    assert (bounced["outbound_id"], bounced["matched_by"], bounced["cause"]) == (sent, "envid", "user-unknown")
    assert bounced["mode"] == "microsoft365"
    assert service.end() == 0


def outbox(service: Service) -> list[dict[str, object]]:
    """What is not done."""
    answer = service.command("outbox", "list", "--format", "jsonl")
    assert answer.returncode == 0, answer.stderr
    return [json.loads(line) for line in answer.stdout.splitlines()]
