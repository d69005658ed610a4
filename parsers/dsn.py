"""Delivery status notifications: RFC 3464, internationalised by RFC 6533.

Recognised by: a part message/delivery-status or message/global-delivery-status, or a text part that holds nothing but
    its fields (gateways relabel it).
Shape: groups of fields parted by blank lines; the first is about the message, each further one about one recipient.
Beyond the letter: groups run into each other, fields are doubled or missing, Action and Status carry comments, the
    status says less (x.0.0) than the remote server's words, and those stand only in the part for people.
Fixtures: fixtures/dsn/
"""

import re
from collections.abc import Callable, Iterable

from parsers import address
from parsers.fields import MAX_GROUPS, Group, groups, without_comments
from parsers.message import MESSAGE_TYPES, Mail
from parsers.original import before_original, returned
from parsers.part import Part
from parsers.report import Evidence, Kind, Report
from parsers.said import about, best_reply, best_status, line_at, quoted, refusal
from parsers.sender import is_failure, is_mailer, is_passed_on
from parsers.status import find_status, is_generic

STATUS_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status", "message/x-delivery-status"})
MAX_NOTICE = 65_536
"""Characters of the part for people that are searched for each recipient; a hundred recipients take a tenth of it."""
MAX_TOLERATED = 1_000
"""Recipients of a report up to which a badly written address is shown to a library."""
MAX_NAMELESS = 100
"""Recipients taken from the text of a report that names none itself."""
KIND_BY_ACTION = {
    "fail": Kind.BOUNCE,
    "delay": Kind.DELAY,
    "deliver": Kind.DELIVERED,
    "relay": Kind.RELAYED,
    "expand": Kind.EXPANDED,
}
"""By how the Action's first word begins (RFC 3464 §2.3.3); some write "failure" or "delayed;"."""
ACTION = re.compile("|".join(KIND_BY_ACTION))
FINAL_WORDS = "Envelope expired"
"""OpenSMTPD's reason for giving up, under "Action: delayed" and a text about a delay."""
ALWAYS_FINAL = "This is the nullmailer delivery system."
"""nullmailer only reports what it gave up, but takes the Action from the class of the last status."""
KIND_BY_CLASS = {"2": Kind.DELIVERED, "4": Kind.DELAY, "5": Kind.BOUNCE}
RELABELLED = frozenset({"text/plain", "application/octet-stream"})
"""What a gateway calls a status part."""
STATUS = re.compile(r"[^\w(]{0,9}([245]\.\d{1,3}\.\d{1,3})(?!\d|\.\d)", re.ASCII)
PASTED = re.compile(r"\n(?:Reporting-MTA|(?:Final|Original)-Recipient):", re.I)
BEGINNING = re.compile(r"\s{0,99}(?:Reporting-MTA|Original-Envelope-Id|(?:Final|Original)-Recipient):", re.I)
NO_EVIDENCE = Evidence()
AboutMessage = tuple[str | None, Evidence]
"""What a report says for all its recipients: the reporting host, the envelope id."""
MESSAGE_FIELDS = frozenset({"reporting-mta", "original-envelope-id"})
RECIPIENT_FIELDS = frozenset({"final-recipient", "original-recipient", "x-actual-recipient"})


def parse(mail: Mail) -> tuple[Report, ...]:
    """One Report for each recipient, in body order; () where there is no delivery report."""
    # What stands behind the returned message belongs to it (the two may share a boundary).
    parts, relabelled = [], []
    for part in mail.leaves:
        if part.type in MESSAGE_TYPES:
            break
        if part.type in STATUS_TYPES:
            parts.append(part)
        elif part.type in RELABELLED:
            relabelled.append(part)
    if not parts:
        parts = [part for part in relabelled if BEGINNING.match(part.text)]
    if not parts:
        parts = [part for part in mail.leaves if part.type in STATUS_TYPES]
    if not parts:
        return ()
    if mail.root.type != "multipart/report" and is_passed_on(mail):
        return ()
    reports = _reports(mail, _groups(parts))
    if len(reports) == 1 and reports[0].recipient is None and len(failed := _unnamed(mail)) == 1:
        return (reports[0]._replace(recipient=failed[0]),)
    return reports


def _groups(parts: Iterable[Part]) -> list[Group]:
    """The groups of all parts, but no more than are read of one."""
    found: list[Group] = []
    for part in parts:
        if len(found) < MAX_GROUPS:
            found += groups(part.text)
    return found[:MAX_GROUPS]


def parse_in_text(mail: Mail) -> tuple[Report, ...]:
    """The same where a mail server put the fields into its text, in front of the returned message."""
    if mail.root.type == "multipart/report" or not is_mailer(mail):
        return ()
    return _in_text(mail, lambda text, at: at <= len(before_original(text)))


def parse_pasted(mail: Mail) -> tuple[Report, ...]:
    """The same anywhere in the text, also of a mail that cannot be taken apart."""
    if mail.root.type != "multipart/report" and not is_mailer(mail):
        return ()
    return _in_text(mail, lambda _text, _at: True)


def _in_text(mail: Mail, counts: Callable[[str, int], bool]) -> tuple[Report, ...]:
    for part in mail.leaves:
        if part.is_text and (start := PASTED.search(f"\n{part.text}")) and counts(part.text, start.start()):
            return _reports(mail, groups(part.text[start.start() :]))
    return ()


def parse_nameless(mail: Mail) -> tuple[Report, ...]:
    """A delivery report that names nobody (Postfix without its log, Haraka): whom the returned mail was for."""
    if not any(part.type in STATUS_TYPES for part in mail.leaves) or is_passed_on(mail):
        return ()
    if not (
        mail.root.params.get("report-type", "").lower() == "delivery-status" or is_mailer(mail) or is_failure(mail)
    ):
        return ()
    text = mail.text[:MAX_NOTICE]
    status_parts = [part for part in mail.leaves if part.type in STATUS_TYPES]
    host = next((_host(group["reporting-mta"]) for group in _groups(status_parts) if "reporting-mta" in group), None)
    return tuple(
        refusal(Kind.BOUNCE, recipient, about(text, recipient) or text, reporting_mta=host)
        for recipient in _unnamed(mail) or (None,)
    )


def _unnamed(mail: Mail) -> tuple[str, ...]:
    """Whom a report is about that does not say so: what stands alone on a line, or the only one who was written to."""
    text = mail.text[:MAX_NOTICE]
    alone = dict.fromkeys(found for line in text.split("\n") if "@" in line and (found := address.bare(line)))
    failed = tuple(alone)[:MAX_NAMELESS] or address.all_of(mail.headers.all("x-failed-recipients"))[:MAX_NAMELESS]
    sent_to = address.all_of(returned(mail).all("to"))
    if not failed and len(sent_to) == 1 and "list-id" not in returned(mail):
        failed = sent_to
    return failed


def _reports(mail: Mail, found: list[Group]) -> tuple[Report, ...]:
    about_message = _about_message(next((group for group in found if not MESSAGE_FIELDS.isdisjoint(group)), {}))
    about_recipients: list[tuple[Group, AboutMessage]] = []
    for group in found:
        if not MESSAGE_FIELDS.isdisjoint(group):
            about_message = _about_message(group)  # several reports in one mail
        if _names_recipient(group):
            about_recipients.append((group, about_message))
    if not about_recipients:
        return ()
    shared = _Shared(mail, len(about_recipients))
    return tuple([_report(group, fields, shared) for group, fields in about_recipients])


def _about_message(fields: Group) -> AboutMessage:
    envelope_id = fields.get("original-envelope-id")
    evidence = Evidence(envelope_id=address.xtext(envelope_id)) if envelope_id else NO_EVIDENCE
    return _host(fields.get("reporting-mta")), evidence


class _Shared:
    """What the reports of one mail have in common, worked out once: there may be ten thousand of them.

    only      whether there is but one
    patient   whether each badly written address is worth a library's time
    """

    def __init__(self, mail: Mail, count: int) -> None:
        self._mail = mail
        self._notice: str | None = None
        self._has_status: bool | None = None
        self._is_final: bool | None = None
        self._said: dict[str | None, str | None] = {}
        self.only, self.patient = count == 1, count <= MAX_TOLERATED

    @property
    def notice(self) -> str:
        """The part for people, which most reports can do without."""
        if self._notice is None:
            self._notice = PASTED.split(self._mail.text[:MAX_NOTICE], maxsplit=1)[0]
        return self._notice

    @property
    def has_status(self) -> bool:
        """Whether the notice can say more than a report without one."""
        if self._has_status is None:
            self._has_status = find_status(self.notice) is not None
        return self._has_status

    @property
    def is_final(self) -> bool:
        """Whether a sender wrote it that has no other notices."""
        if self._is_final is None:
            self._is_final = line_at(self.notice, ALWAYS_FINAL) >= 0
        return self._is_final

    def said(self, recipient: str | None) -> str | None:
        """What the notice says about `recipient`."""
        if recipient not in self._said:
            self._said[recipient] = about(self.notice, recipient)
        return self._said[recipient]


def _names_recipient(group: Group) -> bool:
    return not RECIPIENT_FIELDS.isdisjoint(group) or ("action" in group and "status" in group)


def _report(group: Group, about_message: AboutMessage, shared: _Shared) -> Report:
    reporting_mta, evidence = about_message
    final = address.typed(group.get("final-recipient"), patient=shared.patient)
    original = address.typed(group.get("original-recipient"), patient=shared.patient)
    if original and "+" in original:
        original = address.bare(address.xtext(original)) or original
    recipient = original or final or address.typed(group.get("x-actual-recipient"), patient=shared.patient)
    found = STATUS.match(group.get("status", ""))
    stated = found[1] if found else None
    words = _without_type(group.get("diagnostic-code")) or _comment(group.get("status", ""))
    code = best_reply(words)
    more = None
    if code is None or (is_generic(stated) and is_generic(find_status(words or "")) and shared.has_status):
        more = shared.said(final)
        if more is None and recipient != final:
            more = shared.said(recipient)
        if shared.only and best_reply(more) is None:
            more = quoted(shared.notice) or more
        code = code or best_reply(more)
    status = best_status(stated, words, more)
    action = without_comments(group.get("action", "")).strip().partition(" ")[0].strip(";,.").lower() or None
    return Report(
        kind=_kind(action, status, shared, words or more),
        recipient=recipient,
        original_recipient=original,
        final_recipient=final,
        action=action,
        status=status,
        smtp_code=code,
        diagnostic=_joined(words, more),
        remote_mta=_host(group.get("remote-mta")),
        reporting_mta=reporting_mta,
        evidence=evidence,
    )


def _kind(action: str | None, status: str | None, shared: _Shared, words: str | None) -> Kind:
    if action and (begun := ACTION.match(action)):
        kind = KIND_BY_ACTION[begun[0]]
    else:
        kind = KIND_BY_CLASS[status[0]] if status else Kind.BOUNCE
    if kind is Kind.DELAY and ((words and FINAL_WORDS in words) or shared.is_final):
        return Kind.BOUNCE
    return kind


def _joined(words: str | None, more: str | None) -> str | None:
    """The report's words; the notice's behind them where those alone hold a code, as X.400 gateways write."""
    if not words or not more:
        return words or more
    if (
        words.lower().startswith("x-unix;")
        or best_reply(words)
        or find_status(words)
        or not (best_reply(more) or find_status(more))
    ):
        return words
    return f"{words} {more}"


def _comment(status: str) -> str | None:
    """The words in "Status: 5.1.10 (556 Domain example.com accepts no mail)", which Haraka writes."""
    return status.partition("(")[2].removesuffix(")").strip() or None


def _without_type(diagnostic: str | None) -> str | None:
    """A Diagnostic-Code without its "smtp;" (RFC 3464 §2.3.6); the type is missing at times."""
    if not diagnostic:
        return None
    kind, semicolon, words = diagnostic.partition(";")
    words = words.strip()
    # "X-Unix; 70" is nothing without its type
    return words if semicolon and " " not in kind.strip() and not words.isdecimal() else diagnostic


def _host(value: str | None) -> str | None:
    """The host in "dns; mx.example.com (192.0.2.1)"."""
    if not value:
        return None
    kind, semicolon, host = value.partition(";")
    words = (host if semicolon else kind).replace("(", " ").split()
    return words[0].rstrip(".") or None if words else None
