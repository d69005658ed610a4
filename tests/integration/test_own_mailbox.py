"""A user's own mailbox, to which all goes back that was sent from the user's own address."""

from tests.integration.running import box
from tests.integration.test_sending import add_user
from tests.service.office import GONE, notice


def test_a_bounce_in_the_users_own_mailbox(dovecot, mailbox, sink, new_service):
    """Nothing but the recipient comes back: tied to the message, and the address is not written to any more."""
    service = new_service(box(dovecot, mailbox.user, user="MARI"), directo={"relay": f"127.0.0.1:{sink.port}"})
    add_user(service)
    assert service.command("companies", "set", "acme", "--suppress").returncode == 0
    letter = ("--subject", "x", "--text", "Palun maksa.", "--document", "Invoice 1")
    sent = service.command("send", "--company", "acme", "--user", "MARI", "--to", GONE, *letter, "--now")
    assert sent.returncode == 0, sent.stderr
    dovecot.deliver(mailbox.user, notice(to="mari@acme.example.com"))
    polled = service.command("poll", "--once")
    assert polled.returncode == 0, polled.stderr
    (event,) = service.listed()
    assert (event["matched_by"], event["document"]) == ("recipient", "Invoice 1")
    assert event["outbound_id"] == sent.stdout.splitlines()[0]
    assert (event["user"], event["mode"]) == ("MARI", "directo")
    assert service.mailboxes()[mailbox.user].user == "MARI"
    told = service.command("events", "show", event["id"]).stdout
    assert f"{GONE}, accepted, 250 " in told
    assert GONE in service.command("suppressions", "list").stdout
