"""One attempt at one delivery, and what is noted of it.

`sending` is committed right before DATA.  The reply, what it means for each recipient, and the events are one
transaction after it; a process that dies in between leaves the delivery `sending`, which becomes `uncertain`.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from bounced import log as logs
from bounced.send.envelope import Envelope
from bounced.send.failure import ConnectionLostError, UncertainError
from bounced.send.record import Subject, record
from bounced.send.refusal import evidence_of, given_up, refused
from bounced.send.reply import Reply
from bounced.send.smtp import TIMEOUTS, Answer, Session
from bounced.store import outbound
from bounced.store.engine import Store
from bounced.store.outbound import Claimed, Recipient, RecipientState, State
from parsers.report import Evidence

log = logs.get(__name__)

LONGEST_SENDING = timedelta(seconds=TIMEOUTS.command + TIMEOUTS.transfer + TIMEOUTS.end + 60)
"""By then a server has answered a message, or the connection was given up."""
MAX_IDS = 5
"""Ids taken from one reply: they are told once."""

FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=1)
"""A temporary refusal is tried again after a minute, then after twice as long each time, up to an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A delivery with all that an attempt needs."""

    claimed: Claimed
    sender_config_id: int
    recipients: Mapping[str, Recipient]  # by address
    about: Subject
    envelope: Envelope
    raw: bytes

    def rows(self, addresses: Iterable[str]) -> list[int]:
        """Of recipients, by their addresses in the envelope."""
        return [self.recipients[address].row for address in addresses]

    def evidence(self) -> Evidence:
        """What its events know of the message."""
        message = self.claimed.message
        return evidence_of(message_id=message.message_id, subject=message.subject, at=message.created_at)


def attempt(store: Store, owner: str, session: Session, job: Job, retry_for: timedelta) -> None:
    """Tries a delivery and notes what became of it.

    raises   StoreError: nothing more can be noted; LeaseLostError: another daemon has it; ConnectionLostError: it was
             put back into the queue, and the session is of no more use
    """
    number = job.claimed.id

    def sending() -> None:
        with store.writing() as connection:
            outbound.begin_sending(connection, number, owner, datetime.now(UTC) + LONGEST_SENDING)

    try:
        answer = session.send(job.envelope, job.raw, before_data=sending)
    except UncertainError as error:
        now = datetime.now(UTC)
        with store.writing() as connection:
            outbound.finish(connection, number, owner, State.UNCERTAIN, now, error=str(error))
            outbound.set_recipients(connection, job.rows(job.recipients), RecipientState.UNCERTAIN, None, now)
        log.warning("message uncertain", outbound=str(job.about.outbound_id), delivery=number, error=str(error))
        return
    except ConnectionLostError as error:
        now = datetime.now(UTC)
        with store.writing() as connection:
            _put_back(connection, owner, job, now, retry_for, last=str(error))
        raise
    now = datetime.now(UTC)
    with store.writing() as connection:
        _note(connection, owner, job, answer, now, retry_for)
    accepted = sum(reply.accepted for reply in answer.recipients.values())
    log.info(
        "message tried",
        outbound=str(job.about.outbound_id),
        delivery=number,
        server=answer.server,
        accepted=accepted,
        refused=len(answer.recipients) - accepted,
    )


def put_back(store: Store, owner: str, job: Job, retry_for: timedelta, *, last: str) -> None:
    """Queues a delivery again that could not be tried, because of `last`; gives it up where its time is over."""
    with store.writing() as connection:
        _put_back(connection, owner, job, datetime.now(UTC), retry_for, last=last)


def _note(connection: Connection, owner: str, job: Job, answer: Answer, now: datetime, retry_for: timedelta) -> None:
    """What a server's answer means for each recipient."""
    accepted = [address for address, reply in answer.recipients.items() if reply.accepted]
    waiting = {address: reply for address, reply in answer.recipients.items() if reply.temporary}
    refusals = {a: reply for a, reply in answer.recipients.items() if not (reply.accepted or reply.temporary)}
    if accepted and answer.data:
        outbound.set_recipients(connection, job.rows(accepted), RecipientState.ACCEPTED, str(answer.data), now)
        outbound.add_keys(connection, job.about.company_id, job.about.outbound_id, ids_in(answer.data))
    _refuse(connection, job, refusals, answer.server, now, final=True)
    if not waiting:
        outbound.finish(connection, job.claimed.id, owner, State.DONE, now)
        return
    last = "; ".join(dict.fromkeys(map(str, waiting.values())))
    if _put_back(connection, owner, job, now, retry_for, last=last, only=list(waiting)):
        _refuse(connection, job, waiting, answer.server, now, final=False)


def _refuse(
    connection: Connection, job: Job, replies: Mapping[str, Reply], server: str, now: datetime, *, final: bool
) -> None:
    """Notes refusals, with an event each; of those for now only the first makes one."""
    state = RecipientState.REFUSED if final else RecipientState.DELAYED
    reports = []
    for address, reply in replies.items():
        outbound.set_recipients(connection, job.rows([address]), state, f"{reply.code} {reply.text}", now)
        recipient = job.recipients[address]
        if final or not recipient.delayed:
            reports.append(
                refused(
                    recipient.address,
                    code=reply.code,
                    text=f"{reply.code} {reply.text}",
                    host=server,
                    evidence=job.evidence(),
                    final=final,
                )
            )
    record(connection, job.about, reports, now)


def _put_back(
    connection: Connection,
    owner: str,
    job: Job,
    now: datetime,
    retry_for: timedelta,
    *,
    last: str,
    only: Sequence[str] | None = None,
) -> bool:
    """Queue a delivery again; False: it has been tried for too long, and was given up.

    only   the recipients that are still to be tried, by their addresses in the envelope; None: all
    """
    due_at = now + back_off(job.claimed.tries)
    if due_at <= job.claimed.message.created_at + retry_for:
        outbound.postpone(connection, job.claimed.id, owner, due_at, error=last)
        return True
    outbound.finish(connection, job.claimed.id, owner, State.DONE, now, error=last)
    left = list(job.recipients) if only is None else only
    outbound.set_recipients(connection, job.rows(left), RecipientState.REFUSED, last, now)
    reports = [given_up(job.recipients[address].address, last=last, evidence=job.evidence()) for address in left]
    record(connection, job.about, reports, now)
    return False


def back_off(tries: int) -> timedelta:
    """How long to wait after so many tries and one more."""
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(tries, 16))
    return wait * random.uniform(0.8, 1.0)  # noqa: S311  no secret hangs on it


def ids_in(reply: Reply) -> list[str]:
    """What a server calls the message that it took, where that is a Message-ID: a bounce may name it so."""
    words = reply.text.replace("<", " ").replace(">", " ").split()
    return [word for word in words if "." in word.partition("@")[2]][:MAX_IDS]
