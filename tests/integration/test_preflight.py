"""`bounced users check` and `bounced check` with real logins: Postfix, whose passwords Dovecot knows."""

import pytest

from tests.integration.running import Service, box
from tests.servers.dns import Dns

SUBMISSION = {
    "smtpd_tls_security_level": "encrypt",
    "smtpd_sasl_auth_enable": "yes",
    "smtpd_sasl_type": "dovecot",
    "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
    "smtpd_error_sleep_time": "0",
}


@pytest.fixture
def service(start_postfix, sink, dovecot, mailbox, new_service, authority, dns: Dns) -> Service:
    """A service without a daemon; HQ has the server, and three users have a login, of which LIIS's is wrong."""
    certificate, key = authority.issue("127.0.0.1")
    tls = {"smtpd_tls_cert_file": str(certificate), "smtpd_tls_key_file": str(key)}
    postfix = start_postfix(
        relay_port=sink.port,
        lmtp_port=dovecot.lmtp_port,
        main=SUBMISSION | tls | {"smtpd_sasl_path": f"inet:127.0.0.1:{dovecot.sasl_port}"},
    )
    made = new_service(box(dovecot, mailbox.user), send={"ca_file": str(authority.ca_file), "resolver": [dns.address]})
    made.environment |= {"OWN": dovecot.password, "WRONG": "secret-but-wrong"}
    server = {"mail_sender": "smtp", "smtp_server": f"{postfix.host}:{postfix.port}"}
    add(made, "HQ", **server, smtp_username="hq@example.com", password="env:OWN")
    add(made, "MARI")
    add(made, "JAAN", smtp_username="jaan@example.com", password="env:OWN")
    add(made, "LIIS", smtp_username="liis@example.com", password="env:WRONG")
    run(made, "companies", "set", "acme", "--mail-sending-user", "HQ")
    return made


def add(service: Service, code: str, **card: str) -> None:
    card = {"email": f"{code.lower()}@example.com"} | card
    options = [f for name, value in card.items() for f in (f"--{name.replace('_', '-')}", value)]
    run(service, "users", "add", code, "--company", "acme", *options)


def run(service: Service, *arguments: str, exit: int = 0) -> list[str]:  # noqa: A002
    """The lines that a command prints."""
    answer = service.command(*arguments)
    assert (answer.returncode, answer.stderr) == (exit, ""), answer.stdout
    assert "secret-but-wrong" not in answer.stdout
    return str(answer.stdout).splitlines()


def test_users_check(service: Service, sink, dns: Dns):
    """The way, the login, SPF and DMARC, and what they come to; nothing is sent."""
    dns.put("example.com", "TXT", "v=spf1 ip4:127.0.0.1 -all")
    way, sender, login, spf, dmarc, result = run(service, "users", "check", "MARI")
    assert "server from the company-wide user HQ" in way
    assert sender == "From: mari@example.com"
    assert login.startswith("ok      127.0.0.1:")
    assert login.endswith("can be used: login as hq@example.com")
    assert spf.startswith("ok      SPF: the SPF record of example.com permits 127.0.0.1")
    assert dmarc == "ok      DMARC: example.com has no policy"
    assert result == "mail will pass"
    assert sink.received == []


def test_users_check_with_a_wrong_password(service: Service, dns: Dns):
    """The card to mend is named, and the exit tells a script."""
    lines = run(service, "users", "check", "LIIS", "--company", "acme", exit=1)
    (number,) = (number for number, line in enumerate(lines) if line.startswith("WRONG"))
    assert "login as liis@example.com: 535 5.7.8" in lines[number]
    remedy = "correct user name and password on the user card of LIIS (Main Menu → Personal → User)"
    assert lines[number + 1] == f"        to do: {remedy}"
    assert lines[-1] == "mail will not pass everywhere"


def test_check_tests_each_login_once(service: Service):
    """One line for each login, whoever shares it; the wrong one is named and makes the exit 1."""
    run(service, "users", "add", "NOBODY", "--company", "acme", "--smtp-username", "x")  # no address: sends nothing
    lines = [line for line in run(service, "check", exit=1) if "SMTP" in line]
    assert [line[:5] for line in lines] == ["ok   ", "ok   ", "WRONG"]
    shared, own, wrong = lines
    assert shared.startswith("ok    SMTP login hq@example.com at 127.0.0.1:")
    assert shared.endswith(": for acme/HQ, acme/MARI")
    assert own.endswith(": for acme/JAAN")
    assert wrong.startswith("WRONG SMTP login of acme/LIIS: 127.0.0.1:")
    assert "535 5.7.8" in wrong


def test_an_unfinished_card(service: Service):
    """What is not whole is told in one line, with the user whose it is, by both commands."""
    run(service, "users", "set", "LIIS", "--company", "acme", "--password", "")
    expected = "user LIIS: password: there is a user name, but no password"
    (line,) = (line for line in run(service, "check", exit=1) if line.startswith("WRONG"))
    assert line.startswith(f"WRONG {expected}")
    assert line.endswith("(for acme/LIIS)")
    answer = service.command("users", "check", "LIIS")
    assert (answer.returncode, answer.stdout) == (1, "")
    (line,) = answer.stderr.splitlines()
    assert line.startswith(f"bounced: {expected}")
