"""Companies that send mail, and the notices that come back: all of the service but for the servers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from bounced.config import Config
from bounced.keys import Keyring
from bounced.model import Event
from bounced.send import Letter, submit, tokens
from bounced.service import intake
from bounced.service.correlate import Correlator
from bounced.store import deliveries, history, people, suppressions
from bounced.store.engine import Store
from bounced.store.outbound import RecipientState, State

DOMAIN = "event.data.example.net"
EVENTS = f"acme@{DOMAIN}"
GONE, FINE = "gone@customer.example.com", "fine@customer.example.com"
KEY, NEWER = "k" * 32, "n" * 32
SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Message:
    """A message that a server has taken."""

    id: UUID
    message_id: str
    tokens: tuple[str, ...]  # of its deliveries


def notice(
    recipient: str | None = GONE,
    *,
    to: str = EVENTS,
    kind: str = "failed",
    reply: str = "550 5.1.1 User unknown",
    envid: str | None = None,
    original: str | None = None,
    orcpt: str | None = None,
    own: Sequence[str] = (),
    returned: Sequence[str] = (),
) -> bytes:
    """A delivery status notification (RFC 3464).

    to        whom it comes to
    original  Message-ID of the returned message
    own       further header lines of the notice
    returned  further header lines of the returned message
    """
    about = [f"Final-Recipient: rfc822; {recipient}"] if recipient else []
    about += [f"Original-Recipient: rfc822; {orcpt}"] if orcpt else []
    status = reply.split()[1]
    about += [f"Action: {kind}", f"Status: {status}", f"Diagnostic-Code: smtp; {reply}"]
    back = [*([f"Message-ID: <{original}>"] if original else []), *returned]
    if back:
        back = ["To: x@customer.example.com", "Subject: Invoice", "Date: Mon, 23 Nov 2026 04:35:31 +0000", *back]
    return "\r\n".join(
        [
            "From: MAILER-DAEMON@relay.example.net",
            f"To: {to}",
            "Subject: Undelivered",
            "MIME-Version: 1.0",
            *own,
            "Content-Type: multipart/report; report-type=delivery-status; boundary=b",
            "",
            "--b",
            "",
            "It could not be delivered.",
            "--b",
            "Content-Type: message/delivery-status",
            "",
            "Reporting-MTA: dns; relay.example.net",
            *([f"Original-Envelope-Id: {envid}"] if envid else []),
            "",
            *about,
            "",
            *(["--b", "Content-Type: text/rfc822-headers", "", *back, ""] if back else []),
            "--b--",
            "",
        ]
    ).encode()


def complaint(recipient: str | None, original: str) -> bytes:
    """A complaint (RFC 5965); without a recipient, its provider hides who complained."""
    return "\r\n".join(
        [
            "From: abuse@provider.example.com",
            f"To: {EVENTS}",
            "Subject: complaint",
            "MIME-Version: 1.0",
            "Content-Type: multipart/report; report-type=feedback-report; boundary=b",
            "",
            "--b",
            "",
            "This is a complaint.",
            "--b",
            "Content-Type: message/feedback-report",
            "",
            "Feedback-Type: abuse",
            "User-Agent: Some/1.0",
            "Version: 1",
            *([f"Original-Rcpt-To: {recipient}"] if recipient else []),
            "",
            "--b",
            "Content-Type: message/rfc822",
            "",
            f"From: {EVENTS}",
            f"To: {recipient or 'undisclosed-recipients:;'}",
            f"Message-ID: <{original}>",
            "",
            "Hello",
            "--b--",
            "",
        ]
    ).encode()


class Office:
    """What the tests do."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.keyring = Keyring([KEY])
        self.configure()
        self.clock = datetime.now(UTC)  # when the next notice comes
        with store.writing() as connection:
            for name in ("acme", "other"):
                company_id = people.ensure_company(connection, name)
                people.put_users(
                    connection,
                    company_id,
                    [
                        {"code": code, "email": f"{code.lower()}@{name}.example.com", "mail_sender": "directo-reply-to"}
                        for code in ("MARI", "JAAN")
                    ],
                )

    def configure(self, **directo: str) -> None:
        """Have [directo] say that."""
        self.config = Config.model_validate({"directo": {"event_domain": DOMAIN, **directo}})

    def send(
        self, *to: str, company: str = "acme", user: str = "MARI", reply: str = "250 Ok", **letter: str
    ) -> Message:
        """A message that the first server takes for all recipients."""
        wanted = Letter(to=to or (GONE,), subject="Invoice", text="Pay.\n")
        with self.store.writing() as connection:
            sent = submit(connection, self.config, wanted, company=company, user=user, **letter)
            now = datetime.now(UTC)
            claimed = deliveries.claim(connection, "test", now, now + timedelta(hours=1), 500)
            for one in claimed:
                deliveries.begin_sending(connection, one.id, "test", now + timedelta(hours=1))
                rows = [recipient.row for recipient in one.recipients]
                deliveries.set_recipients(connection, rows, RecipientState.ACCEPTED, reply, now)
                deliveries.finish(connection, one.id, "test", State.DONE, now)
        signed = tuple(tokens.sign(self.keyring, company, one.id) for one in claimed)
        return Message(sent.outbound_id, claimed[0].message.message_id, signed)

    def take(
        self,
        *raw: bytes,
        company: str | None = "acme",
        user: str | None = None,
        at: datetime | None = None,
        login: str = "",
    ) -> list[Event]:
        """The events of notices that come to a mailbox of that company, or that user, each a second later."""
        parsed = []
        for one in raw:
            self.clock += SECOND
            came = at or self.clock
            one = b"Received: by mail.example.net; %s\r\n" % str(self.clock).encode() + one
            parsed.append((intake.read("x", one, size=len(one), truncated=False, received_at=came, uid=None), None))
        with self.store.writing() as connection:
            owner = None
            if user is not None and company is not None:
                owner = people.find_user(connection, people.ensure_company(connection, company), user)
                assert owner
            correlator = Correlator(connection, self.config, self.keyring, company=company, user=owner, login=login)
            return intake.put(connection, parsed, correlator, None, self.clock)

    def take_one(self, raw: bytes, company: str | None = "acme", user: str | None = None) -> Event:
        """The same, of one notice that makes one event."""
        (event,) = self.take(raw, company=company, user=user)
        return event

    def states(self, message: Message) -> dict[str, str]:
        """What is known of each recipient."""
        with self.store.reading() as connection:
            return {one.address: one.state for one in history.fate(connection, message.id)}

    def card(self, code: str, **fields: str | None) -> None:
        """Change a card of acme."""
        with self.store.writing() as connection:
            people.put_users(connection, people.ensure_company(connection, "acme"), [{"code": code} | fields])

    def keep_list(self, company: str = "acme", *, keeps: bool = True) -> None:
        """Whether the company keeps a suppression list."""
        with self.store.writing() as connection:
            people.set_company(connection, people.ensure_company(connection, company), suppress=keeps)

    def suppressed(self, company: str = "acme") -> dict[str, str | None]:
        """The company's list: address and cause."""
        with self.store.writing() as connection:
            company_id = people.ensure_company(connection, company)
            return {one.address: one.cause for one in suppressions.listed(connection, company_id)}
