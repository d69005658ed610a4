"""One attempt at one delivery, and what is noted of it.

`sending` is committed right before DATA.  The reply, what it means for each recipient, and the events are one
transaction after it; a process that dies in between leaves the delivery `sending`, which becomes `uncertain`.
"""

import random
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import monotonic

from sqlalchemy import Connection

from bounced import log as logs
from bounced.errors import InputError, LeaseLostError, StoreError
from bounced.send.envelope import Envelope
from bounced.send.failure import ConnectionLostError, LoginError, TlsError, UncertainError, WornOutError
from bounced.send.record import Subject, record
from bounced.send.refusal import given_up, refused
from bounced.send.reply import Reply
from bounced.send.smtp import TIMEOUTS, Answer, Session
from bounced.service import consequences
from bounced.store import deliveries, outbound
from bounced.store.deliveries import Claimed, Recipient
from bounced.store.engine import Store
from bounced.store.joint import Joint
from bounced.store.outbound import RecipientState, State
from parsers.report import Report

log = logs.get(__name__)

LONGEST_SENDING = timedelta(seconds=TIMEOUTS.command + TIMEOUTS.transfer + TIMEOUTS.end + 60)
"""By then a server has answered a message, or the connection was given up."""
NOTING_FOR = timedelta(minutes=2)
"""How long what a server said is kept for a database that cannot take it just now; then it is uncertain."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between two tries to note it."""
MAX_IDS = 5
"""Ids taken from one reply: they are told once."""
MAX_ID = 998
"""Characters of an id, as of a header's line (RFC 5322 §2.1.1); an index of PostgreSQL takes no longer ones."""
AMAZON_ID = re.compile(r"[0-9a-f]{16}-[0-9a-f-]{36}-[0-9]{6}")
"""What Amazon SES answers: without the domain that it puts behind it in the message (correlate knows of that)."""

NOBODY: Mapping[str, Reply] = {}

FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=1)
"""A temporary refusal is tried again after a minute, then after twice as long each time, up to an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A delivery with all that an attempt needs, but for the message itself: many wait at a time."""

    claimed: Claimed
    sender_config_id: int
    recipients: Mapping[str, Recipient]  # by address
    about: Subject
    sender: str  # where bounces go
    envid: str
    origin: bytes  # From and Reply-To

    def rows(self, addresses: Iterable[str]) -> list[int]:
        """Of recipients, by their addresses in the envelope."""
        return [self.recipients[address].row for address in addresses]

    def letter(self, store: Store) -> tuple[Envelope, bytes]:
        """The message, and who it is from and for.

        raises   InputError: it cannot be sent; StoreError
        """
        with store.reading() as connection:
            raw = outbound.raw(connection, self.claimed.message.id)
        if raw is None:
            raise InputError("the message's bytes were purged")
        message = self.origin + raw
        envelope = Envelope(
            sender=self.sender,
            recipients=tuple(self.recipients),
            envid=self.envid,
            smtputf8=not message.isascii(),
        )
        return envelope, message


def attempt(store: Store, joint: Joint, owner: str, session: Session, job: Job, retry_for: timedelta) -> None:
    """Tries a delivery and notes what became of it.

    raises   StoreError: nothing can be noted, for long; LeaseLostError: another daemon has it; ConnectionLostError: it
             was put back into the queue, and the session is of no more use; WornOutError, LoginError, TlsError: nothing
             at all goes over the session, and the delivery is still claimed
    """
    number = job.claimed.id
    begun = False  # whether the message may be on its way

    def sending() -> None:
        nonlocal begun
        until = datetime.now(UTC) + LONGEST_SENDING
        joint.write(lambda connection: deliveries.begin_sending(connection, number, owner, until))
        begun = True

    try:
        answer = session.send(*job.letter(store), before_data=sending)
    except (LeaseLostError, WornOutError, LoginError, TlsError):
        raise
    except ConnectionLostError as error:
        if error.reply is None or error.refused:  # after refusals 421 may mean nothing but these: too many errors
            _put_back(joint, owner, job, retry_for, last=str(error), refusals=error.refused)
        else:  # it hung up on a refusal for now
            host, now = job.about.host, datetime.now(UTC)
            answer = Answer(server=host, recipients=dict.fromkeys(job.recipients, error.reply), data=None)
            noting(joint, lambda connection: _note(connection, owner, job, answer, now, retry_for))
        raise
    except UncertainError as error:
        _leave_uncertain(joint, owner, job, str(error), error.refused)
        return
    except (InputError, StoreError) as error:  # of the letter, or of `sending`: before anything is sent
        _put_back(joint, owner, job, retry_for, last=str(error))
        return
    except Exception as bug:
        log.exception("sending failed", outbound=str(job.about.message.id))  # must not stop the other messages
        session.close()
        if begun:
            _leave_uncertain(joint, owner, job, f"unexpected {type(bug).__name__}", NOBODY)
        else:
            _put_back(joint, owner, job, retry_for, last=f"unexpected {type(bug).__name__}")
        return
    now = datetime.now(UTC)
    noting(joint, lambda connection: _note(connection, owner, job, answer, now, retry_for))
    accepted = sum(reply.accepted for reply in answer.recipients.values())
    log.info(
        "message tried",
        outbound=str(job.about.message.id),
        delivery=number,
        server=answer.server,
        accepted=accepted,
        refused=len(answer.recipients) - accepted,
    )


def _put_back(
    joint: Joint, owner: str, job: Job, retry_for: timedelta, *, last: str, refusals: Mapping[str, Reply] = NOBODY
) -> None:
    """Queues a delivery again that did not come to its end, because of `last`; gives it up where its time is over.

    refusals  those whose last word is known: a server that hangs up after so many refusals would do it each time
    """
    now = datetime.now(UTC)
    left = [one for one in job.claimed.recipients if one.address not in refusals]

    def note(connection: Connection) -> None:
        _note_refusals(connection, job, refusals, now)
        queue_again(connection, owner, job.claimed, job.about, left, now, retry_for, last=last)

    noting(joint, note)


def noting(joint: Joint, write: Callable[[Connection], object]) -> None:
    """Commits what `write` does; where the database cannot just now, again and again for NOTING_FOR.

    raises   StoreError: it still cannot, or never will; what `write` raises
    """
    ends, pause = monotonic() + NOTING_FOR.total_seconds(), FIRST_PAUSE
    while True:
        try:
            joint.write(write)
            return
        except StoreError as error:
            if not error.retry or monotonic() > ends:
                raise
            log.warning("not noted yet", error=str(error))
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _leave_uncertain(joint: Joint, owner: str, job: Job, error: str, refusals: Mapping[str, Reply]) -> None:
    """Nobody knows whether the server took it, for those whom it did not refuse before: a person must decide."""
    now = datetime.now(UTC)
    left = job.recipients.keys() - refusals.keys()

    def note(connection: Connection) -> None:
        deliveries.finish(connection, job.claimed.id, owner, State.UNCERTAIN, now, error=error)
        deliveries.set_recipients(connection, job.rows(left), RecipientState.UNCERTAIN, None, now)
        _note_refusals(connection, job, refusals, now)

    noting(joint, note)
    log.warning("message uncertain", outbound=str(job.about.message.id), delivery=job.claimed.id, error=error)


def _note_refusals(connection: Connection, job: Job, refusals: Mapping[str, Reply], now: datetime) -> None:
    """What a server said before the connection broke."""
    reports = _refuse(connection, job, refusals, job.about.host, now, final=True)
    consequences.at_sending(connection, record(connection, job.about, reports, now))


def _note(connection: Connection, owner: str, job: Job, answer: Answer, now: datetime, retry_for: timedelta) -> None:
    """What a server's answer means for each recipient."""
    accepted = [address for address, reply in answer.recipients.items() if reply.accepted]
    waiting = {address: reply for address, reply in answer.recipients.items() if reply.temporary}
    refusals = {address: reply for address, reply in answer.recipients.items() if reply.final}
    if accepted and answer.data:
        deliveries.set_recipients(connection, job.rows(accepted), RecipientState.ACCEPTED, str(answer.data), now)
        outbound.add_keys(connection, job.about.message.company_id, job.about.message.id, ids_in(answer.data))
    reports = _refuse(connection, job, refusals, answer.server, now, final=True)
    if waiting:
        last = "; ".join(dict.fromkeys(map(str, waiting.values())))
        left = [job.recipients[address] for address in waiting]
        # where others were taken it may have been too many at once: the rest need not wait ever longer
        claimed = replace(job.claimed, tries=0) if accepted else job.claimed
        if queue_again(connection, owner, claimed, job.about, left, now, retry_for, last=last):
            reports += _refuse(connection, job, waiting, answer.server, now, final=False)
    else:
        deliveries.finish(connection, job.claimed.id, owner, State.DONE, now)
    consequences.at_sending(connection, record(connection, job.about, reports, now))


def _refuse(
    connection: Connection, job: Job, replies: Mapping[str, Reply], server: str, now: datetime, *, final: bool
) -> list[Report]:
    """Notes refusals; an event for each is to be recorded, of those for now only for the first."""
    state = RecipientState.REFUSED if final else RecipientState.DELAYED
    reports = []
    for address, reply in replies.items():
        deliveries.set_recipients(connection, job.rows([address]), state, reply.verbatim, now)
        recipient = job.recipients[address]
        if final or not recipient.delayed:
            reports.append(
                refused(
                    recipient.address,
                    code=reply.code,
                    text=reply.verbatim,
                    host=server,
                    evidence=job.about.evidence,
                    final=final,
                )
            )
    return reports


def queue_again(
    connection: Connection,
    owner: str,
    claimed: Claimed,
    about: Subject,
    left: Sequence[Recipient],
    now: datetime,
    retry_for: timedelta,
    *,
    last: str,
) -> bool:
    """Put a delivery back into the queue; False: it has been tried for too long, and was given up.

    left   the recipients that are still to be tried
    last   why it did not come through this time
    """
    due_at = now + back_off(claimed.tries)
    if due_at <= claimed.message.created_at + retry_for:
        deliveries.postpone(connection, claimed.id, owner, due_at, error=last)
        return True
    deliveries.finish(connection, claimed.id, owner, State.DONE, now, error=last)
    deliveries.set_recipients(connection, [one.row for one in left], RecipientState.REFUSED, last, now)
    record(connection, about, [given_up(one.address, last=last, evidence=about.evidence) for one in left], now)
    return False


def back_off(tries: int) -> timedelta:
    """How long to wait after so many tries and one more."""
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(tries, 16))
    return wait * random.uniform(0.8, 1.0)  # noqa: S311  no secret hangs on it


def ids_in(reply: Reply) -> list[str]:
    """What a server calls the message that it took, where that is a Message-ID: a bounce may name it so."""
    words = [word.strip("().,;") for word in reply.text.replace("<", " ").replace(">", " ").split()]
    ids = (word for word in words if "." in word.partition("@")[2] or AMAZON_ID.fullmatch(word))
    return [one for one in ids if len(one) <= MAX_ID and one.isascii()][:MAX_IDS]
