"""One IMAP folder: what is in it, the messages, and what is done with them.  No parsing, no database.

Sources: RFC 9051 (IMAP), RFC 6851 (MOVE), RFC 4315 (UIDPLUS).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from types import TracebackType
from typing import Any, Self

from imapclient import DELETED, SEEN, SocketTimeout
from imapclient.exceptions import IMAPClientError
from imapclient.response_parser import parse_fetch_response

from bounced.config import After, Mailbox
from bounced.errors import MailboxError
from bounced.inbox.link import Link, RefusedError
from bounced.inbox.wire import TIMEOUTS

WINDOW = 40_000  # UIDs that one SEARCH may find: 440 KB of imaplib's 1 MB line
BATCH_MESSAGES = 500  # also the longest list of UIDs in a command: 5,500 of the 8,000 octets that every server takes
BATCH_BYTES = 16 * 2**20
MAX_REOPENED = 3  # after that a broken connection is the server's fault, not that of one message
MAX_RACES = 3  # times that other clients may remove messages right before they are acted on
MAX_UID = 2**32 - 1

Answer = Mapping[bytes, Any]
"""What FETCH said of one message, by item."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The selected folder."""

    uidvalidity: int
    uidnext: int | None  # None: the server does not say
    exists: int  # messages in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """One message, or the reason why it cannot be had."""

    uid: int
    raw: bytes | None
    size: int  # octets, as the server says; 0 where it does not
    received_at: datetime | None  # INTERNALDATE, aware UTC
    truncated: bool  # raw is only the first max_message_size octets
    problem: str | None  # set exactly when raw is None: it exists but cannot be fetched


class Session:
    """One login to one mailbox, for one thread at a time (`abort` excepted)."""

    def __init__(self, box: Mailbox, *, max_message_size: int, timeouts: SocketTimeout = TIMEOUTS) -> None:
        """Connects when it is entered as a context.

        max_message_size  octets; of a bigger message only so much is fetched
        """
        self._box, self._limit = box, max_message_size
        self._link = Link(box, timeouts)
        self._reopened = 0
        self._folder = Folder(0, None, 0)
        self._permanent_flags: tuple[bytes, ...] | None = None

    def __enter__(self) -> Self:
        try:
            self._link.open()
        except BaseException:
            self._link.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._link.close(politely=kind is None)

    def abort(self) -> None:
        """Breaks the connection, from any thread: whatever waits for the server raises MailboxError."""
        self._link.abort()

    def select(self) -> Folder:
        """Opens the folder: read-only where messages are kept as they are.

        raises   MailboxError: no such folder, or read-only although something is to be done there
        """
        box = self._box
        with self._link.command(f"folder {box.folder}", lasting=True) as client:
            answer = client.select_folder(box.folder, readonly=box.after.kind == "keep")
        uidvalidity = _number(answer.get(b"UIDVALIDITY"), MAX_UID)
        if not uidvalidity:
            raise self._link.error(f"folder {box.folder}: the server gives no UIDVALIDITY", retry=False)
        self._permanent_flags = answer.get(b"PERMANENTFLAGS")
        uidnext, exists = _number(answer.get(b"UIDNEXT"), MAX_UID), _number(answer.get(b"EXISTS"), MAX_UID)
        self._folder = Folder(uidvalidity, uidnext or None, exists)
        return self._folder

    def check_action(self) -> None:
        """Makes sure that the mailbox's `after` can be done; call it after `select`.

        raises   MailboxError: neither MOVE nor UIDPLUS, no target folder, or flags that do not stay
        """
        after = self._box.after
        moves = after.kind == "move" and b"MOVE" in self._link.capabilities
        if after.kind in ("move", "delete") and not moves and b"UIDPLUS" not in self._link.capabilities:
            wanted = "MOVE nor UIDPLUS" if after.kind == "move" else "UIDPLUS"
            raise self._link.error(
                f'after = "{after}": the server has {"neither " if after.kind == "move" else "no "}{wanted}, '
                f"and a plain EXPUNGE would remove other clients' mail; use keep or seen",
                retry=False,
            )
        flag = None if after.kind == "keep" or moves else SEEN if after.kind == "seen" else DELETED
        if flag and self._permanent_flags is not None and flag not in self._permanent_flags:
            raise self._link.error(f'after = "{after}": this login may not set {flag.decode()}', retry=False)
        if after.folder:
            with self._link.command(f'after = "{after}": folder {after.folder}', lasting=True) as client:
                client.folder_status(after.folder, ["UIDVALIDITY"])

    def uids_above(self, cursor: int) -> Iterator[list[int]]:
        """The UIDs above `cursor`, in ascending lists of at most WINDOW (and what has just come).

        A folder may hold millions, and its UIDs may be far apart: so the server is asked for the UID of every
        WINDOW-th message, and each search lies between two of these.
        """
        low = cursor + 1
        for high in (*self._bounds(cursor), None):
            if low > MAX_UID:
                return
            # n:* also finds the last message when its UID is below n
            uids = sorted({uid for uid in self._search(f"{low}:{high or '*'}") if low <= uid <= (high or MAX_UID)})
            if uids:
                yield uids
            low = (high or low) + 1

    def fetch(self, uids: Sequence[int]) -> Iterator[list[Fetched]]:
        """The messages in batches of at most BATCH_MESSAGES and BATCH_BYTES, in the order of `uids`.

        A UID that is in no batch has been expunged meanwhile.  When the connection breaks within a batch, it is opened
        again and the messages are asked for one by one: one that cannot be had is told as a problem.
        """
        for chunk in _chunks(uids):
            known = self._ask(chunk, ["RFC822.SIZE", "INTERNALDATE"])[0]
            sizes = {uid: size for uid, answer in known.items() if (size := _number(answer.get(b"RFC822.SIZE")))}
            for batch in self._batches(chunk, sizes):
                yield from self._batch(batch, known, sizes)

    def act(self, after: After, uids: Iterable[int]) -> None:
        """Does `after` to the messages; all is done when it returns.  Those that are gone already count as done.

        raises   MailboxError; all of it can be repeated then.  Only without MOVE may a repeated move leave a second
                 copy in the target folder
        """
        if after.kind == "keep":
            return
        for chunk in _chunks(sorted(uids)):
            for left in reversed(range(MAX_RACES)):
                self._learn_of_expunged()  # or a server refuses to copy what another client removed
                try:
                    self._act_once(after, chunk)
                    break
                except RefusedError as refusal:  # it was removed after all, between the two commands (RFC 5530 §3)
                    if not left or "[EXPUNGEISSUED]" not in refusal.what:
                        raise

    def _act_once(self, after: After, uids: list[int]) -> None:
        with self._link.command(f'after = "{after}"') as client:
            if after.kind == "seen":
                client.add_flags(uids, [SEEN], silent=True)
            elif after.kind == "move" and b"MOVE" in self._link.capabilities:
                client.move(uids, after.folder)
            else:
                if after.kind == "move":
                    client.copy(uids, after.folder)
                client.add_flags(uids, [DELETED], silent=True)
                client.uid_expunge(uids)

    def _bounds(self, cursor: int) -> list[int]:
        """UIDs above the cursor with at most WINDOW messages from one to the next; none where one search will do."""
        if self._folder.exists > WINDOW:
            self._select_again()  # act() may have removed messages since
        bounds: list[int] = []
        for chunk in _chunks(range(WINDOW, self._folder.exists, WINDOW)):
            with self._link.command("FETCH") as client:
                status, data = client.connection.fetch(",".join(map(str, chunk)), "(UID)")
                if status != "OK":
                    raise IMAPClientError(data[-1])
                bounds.extend(parse_fetch_response(data))
        return sorted(uid for uid in bounds if uid > cursor)

    def _search(self, uids: str) -> list[int]:
        with self._link.command("SEARCH") as client:
            return list(client.search(f"UID {uids}"))

    def _batches(self, uids: Sequence[int], sizes: Mapping[int, int]) -> Iterator[list[int]]:
        batch: list[int] = []
        room = BATCH_BYTES
        for uid in uids:
            size = min(sizes.get(uid, self._limit), self._limit)
            if batch and size > room:
                yield batch
                batch, room = [], BATCH_BYTES
            batch.append(uid)
            room -= size
        if batch:
            yield batch

    def _batch(self, uids: list[int], known: Mapping[int, Answer], sizes: Mapping[int, int]) -> Iterator[list[Fetched]]:
        """One batch; when the connection is lost for good, what there is of it: the next poll begins behind it."""
        small = [uid for uid in uids if sizes.get(uid, self._limit + 1) <= self._limit]
        octets = 2 * sum(sizes[uid] for uid in small) + self._limit  # some servers announce sizes that are not exact
        answers = self._ask(small, ["BODY.PEEK[]"], octets)[0] if small else {}
        bodies = {uid: answer for uid, answer in answers.items() if _body(answer) is not None}
        del answers  # or they would be kept as long as the batch
        alone = self._existing([uid for uid in uids if uid not in bodies])
        batch: list[Fetched] = []
        try:
            for uid in uids:
                if uid in bodies:
                    batch.append(self._fetched(uid, {**known[uid], **bodies.pop(uid)}))
                elif uid in alone:
                    batch.append(self._alone(uid, known.get(uid, {})))
        except MailboxError:
            if batch:
                yield batch
            raise
        if batch:
            yield batch

    def _existing(self, uids: list[int]) -> set[int]:
        """Which of `uids` are in the folder still."""
        if not uids:
            return set()
        self._learn_of_expunged()
        return set(self._search(",".join(map(str, uids))))

    def _learn_of_expunged(self) -> None:
        """Lets the server tell what is gone; until then it takes such UIDs as there (RFC 2180 §4)."""
        with self._link.command("NOOP") as client:
            client.connection.noop()

    def _alone(self, uid: int, known: Answer) -> Fetched:
        """One message by itself: too big, or not brought by its batch.  Never more than the limit is asked for."""
        items = ["RFC822.SIZE", "INTERNALDATE", f"BODY.PEEK[]<0.{self._limit + 1}>"]
        answers, reason = self._ask([uid], items, self._limit)
        return self._fetched(uid, {**known, **answers.get(uid, {})}, reason)

    def _fetched(self, uid: int, answer: Answer, reason: str = "") -> Fetched:
        raw, size = _body(answer), _number(answer.get(b"RFC822.SIZE"))
        return Fetched(
            uid=uid,
            raw=raw if raw is None else raw[: self._limit],
            size=size,
            received_at=_utc(answer.get(b"INTERNALDATE")),
            truncated=raw is not None and max(size, len(raw)) > self._limit,
            problem=None if raw is not None else reason or "the server lists it but does not return it",
        )

    def _ask(self, uids: list[int], items: list[str], octets: int = 0) -> tuple[Mapping[int, Answer], str]:
        """What FETCH says of `uids`, and why not more: a NO, or a broken connection, which is then opened again."""
        try:
            with self._link.command("FETCH", octets=octets) as client:
                return client.fetch(uids, items), ""
        except RefusedError as refusal:
            with self._link.command("FETCH", begin=False) as client:  # what came before the NO counts
                return parse_fetch_response(client.connection.response("FETCH")[1], normalise_times=False), refusal.what
        except MailboxError as broken:
            if self._link.aborted or self._reopened == MAX_REOPENED:
                raise
            self._reopened += 1
            self._link.close()
            self._link.open()
            self._select_again()
            return {}, broken.what

    def _select_again(self) -> None:
        before = self._folder.uidvalidity
        if self.select().uidvalidity != before:
            raise self._link.error(f"folder {self._box.folder}: UIDVALIDITY has changed meanwhile", retry=True)


def _chunks(uids: Iterable[int]) -> Iterator[list[int]]:
    waiting = iter(uids)
    while chunk := list(islice(waiting, BATCH_MESSAGES)):
        yield chunk


def _body(answer: Answer) -> bytes | None:
    """The message itself: BODY[], or BODY[]<0> where a part was asked for; None when the server answers NIL."""
    return next((value for item, value in answer.items() if item[:6] == b"BODY[]" and isinstance(value, bytes)), None)


def _number(value: object, highest: int = 2**63 - 1) -> int:
    """A number from the server; 0 for nonsense."""
    return value if isinstance(value, int) and 0 < value <= highest else 0


def _utc(moment: object) -> datetime | None:
    try:
        return moment.astimezone(UTC) if isinstance(moment, datetime) and moment.tzinfo else None
    except (ValueError, OverflowError):  # a year or an offset that no clock has
        return None
