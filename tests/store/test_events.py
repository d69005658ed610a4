"""Events come back as they were inserted, newest first, by every filter."""

import dataclasses
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from bounced.model import Event, Match, as_json
from bounced.store import events, mails, people
from bounced.store.engine import Store
from bounced.store.events import EventFilter
from bounced.store.ids import new_id
from bounced.store.mailboxes import Mailbox
from parsers.causes.cause import Cause
from parsers.report import Evidence, Kind, Report
from tests.store.samples import NOW, event, insert_mails

HOUR = timedelta(hours=1)


def insert(store: Store, *rows: Event, mailbox_id: int | None = 1) -> None:
    """Insert events that came by no mail."""
    with store.writing() as connection:
        events.insert_events(connection, mailbox_id, [(None, 0, row) for row in rows])


def find(store: Store, **wanted: object) -> list[Event]:
    """The wanted events."""
    with store.reading() as connection:
        return list(events.find(connection, EventFilter(**wanted)))


def owners(store: Store) -> tuple[Match, Match]:
    """A match to MARI of acme, and one to MARI of other."""
    found = []
    with store.writing() as connection:
        for name in ("acme", "other"):
            company_id = people.ensure_company(connection, name)
            people.put_users(connection, company_id, [{"code": "MARI"}])
            mari = people.find_user(connection, company_id, "MARI")
            assert mari
            found.append(Match(matched_by="verp", company_id=company_id, company=name, user_id=mari.id, user="MARI"))
    return found[0], found[1]


def test_full_event_comes_back_equal(store: Store, box: Mailbox) -> None:
    """Every field, of the report, its evidence and its match."""
    match = dataclasses.replace(
        owners(store)[0],
        forged=True,
        document="Invoice 1042",
        mode="smtp",
        sender_config={"server": {"value": "smtp.zone.ee:465", "from": "HQ"}, "tls": None},
        outbound_id=new_id(),
        tried_ids=("a@example.org", "b@example.org"),
    )
    report = Report(
        kind=Kind.DELAY,
        recipient="õnne@example.org",
        original_recipient="original@example.org",
        final_recipient="final@example.org",
        action="delayed",
        status="4.4.7",
        smtp_code=451,
        diagnostic="451 later\nsecond line – “кириллица” \U0001f4e7",
        remote_mta="mx.example.org",
        reporting_mta="relay.example.org",
        feedback_type="abuse",
        cause=Cause.GREYLISTED,
        permanent=False,
        rule="reply-greylisted",
        evidence=Evidence(
            message_id="notice@example.org",
            original_message_id="original@example.org",
            envelope_id="envelope",
            related_ids=("related@example.org",),
            failed_recipients=("failed@example.org",),
            delivered_to=("acme@event.example.org",),
            original_from="mari@example.org",
            original_reply_to="reply@example.org",
            original_to=("to@example.org", "cc@example.org"),
            original_subject="Arve 1042",
            original_date=datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC),
            subject="Delayed",
            date=datetime(2026, 11, 23, 3, 4, 5, tzinfo=UTC),
        ),
    )
    full = Event(
        id=new_id(), source="imap:acme/1/2", report=report, received_at=NOW, truncated=True, mailbox="acme", match=match
    )
    insert(store, full)
    assert find(store) == [full]
    assert as_json(find(store)[0]) == as_json(full)


def test_empty_event_comes_back_equal(store: Store) -> None:
    """What is not known stays None, and the id finds the event."""
    bare = event(None, kind=Kind.OTHER, cause=None, permanent=None, mailbox=None)
    insert(store, bare, mailbox_id=None)
    with store.reading() as connection:
        assert bare.id
        assert events.get(connection, bare.id) == bare
        assert events.get(connection, new_id()) is None
        assert events.raw(connection, bare.id) is None


ANY_TEXT = st.text(st.characters(exclude_categories=[]), min_size=1, max_size=30)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANY_TEXT, ANY_TEXT, st.lists(ANY_TEXT, max_size=3))
def test_hostile_text_never_keeps_a_batch_out(store: Store, diagnostic: str, subject: str, ids: list[str]) -> None:
    """Any text is stored: as it is where the databases take it, else with marks instead of what they refuse."""
    hostile = event(
        diagnostic,
        diagnostic=diagnostic,
        evidence=Evidence(original_subject=subject, related_ids=tuple(ids)),
        mailbox=None,
        match=Match(tried_ids=tuple(ids)),
    )
    insert(store, hostile, mailbox_id=None)
    with store.reading() as connection:
        assert hostile.id
        back = events.get(connection, hostile.id)
    assert back
    assert back.report.diagnostic == events._clean(diagnostic)
    assert back.report.evidence.original_subject == events._clean(subject)
    assert back.match.tried_ids == tuple(ids)
    storable = diagnostic.encode("utf-8", "replace").decode("utf-8")
    if "\0" not in storable and storable == diagnostic:
        assert back.report.diagnostic == diagnostic


def test_newest_first(store: Store, box: Mailbox) -> None:
    """Ordered by (received_at, id) backwards, also within one moment, and no more than the limit."""
    old, first, second, new = event(age=2 * HOUR), event(age=HOUR), event(age=HOUR), event()
    insert(store, first, new, old, second)
    assert find(store) == [new, second, first, old]
    assert find(store, limit=2) == [new, second]
    assert find(store, limit=0) == []


def test_filters(store: Store, box: Mailbox) -> None:
    """Each filter alone gives exactly its events, and all together those of all."""
    acme, other = owners(store)
    spf = event("a@Example.ORG", match=acme, cause=Cause.SPF_FAILED, age=HOUR, diagnostic="550 100% SPF_x \\ fail")
    late = event("b@sub.example.org", match=other, kind=Kind.DELAY, age=3 * HOUR)
    invoice = dataclasses.replace(acme, user_id=None, user=None, document="Invoice 1042")
    third = event("a@example.net", match=invoice, evidence=Evidence(original_subject="Arve 1042"))
    insert(store, spf, late, third)
    assert find(store, company="ACME") == [third, spf]
    assert find(store, company="nobody") == []
    assert find(store, user="MARI") == [spf, late]
    assert find(store, company="other", user="MARI") == [late]
    assert find(store, recipient="A@example.org") == [spf]
    assert find(store, domain="EXAMPLE.org") == [spf]
    assert find(store, cause=Cause.SPF_FAILED) == [spf]
    assert find(store, kind=Kind.DELAY) == [late]
    assert find(store, document="Invoice 1042") == [third]
    assert find(store, since=NOW - HOUR) == [third, spf]
    assert find(store, until=NOW - HOUR) == [late]
    assert find(store, text="spf_X \\") == [spf]
    assert find(store, text="arve") == [third]
    assert find(store, text="SUB.EXAMPLE") == [late]
    assert find(store, text="0% S") == [spf]
    assert find(store, text="_") == [spf]
    assert find(store, text="%") == [spf]
    assert find(store, text="' OR 1=1 --") == []
    assert find(store, company="acme", cause=Cause.SPF_FAILED, since=NOW - HOUR, limit=5) == [spf]


def test_text_in_any_case_of_any_letter(tmp_path: Path) -> None:
    """SQLite's own upper() and LIKE know ASCII only; with PostgreSQL it is the database's locale that counts."""
    with Store.open(f"sqlite:///{tmp_path / 'bounced.db'}") as store:
        wanted = event("a@example.org", mailbox=None, diagnostic="Õiendus üle kvoodi")
        insert(store, wanted, event("b@example.org", mailbox=None, diagnostic="Oiendus"), mailbox_id=None)
        assert find(store, text="õiendus ÜLE") == find(store, text="ÕI") == [wanted]


def test_recipient_is_found_by_every_name(store: Store, box: Mailbox) -> None:
    """The address written to, the original and the final one of the notice, in any case."""
    wanted = [
        event("mari@example.org"),
        event("a@example.org", final_recipient="Mari@Example.org"),
        event("b@example.org", original_recipient="mari@example.ORG"),
        event(None, final_recipient="mari@example.org"),
        event("mari@example.org", original_recipient="mari@example.org", final_recipient="mari@example.org"),
    ]
    insert(store, *wanted, event("maris@example.org"), event("a@example.org"))
    assert find(store, recipient="MARI@example.org") == wanted[::-1]


def test_position_is_unique(store: Store, box: Mailbox) -> None:
    """A report of a mail makes one event, never two; the bytes of its mail are found by it."""
    with store.writing() as connection:
        (mail,) = insert_mails(connection, [1])
        mails.insert_raw(connection, [(mail.id, mails.pack(b"raw"))])
        first, second = event(), event("b@example.org")
        events.insert_events(connection, box.id, [(mail.id, 0, first), (mail.id, 1, second)])
        assert second.id
        assert events.raw(connection, second.id) == b"raw"
    with pytest.raises(Exception, match=r"(?i)unique"), store.writing() as connection:
        events.insert_events(connection, box.id, [(mail.id, 1, event())])


def test_long_export_is_streamed(store: Store, box: Mailbox) -> None:
    """The first event is there before the others are read."""
    rows = [event(age=timedelta(seconds=number)) for number in range(3 * events.ROWS_AT_ONCE)]
    insert(store, *rows)
    with store.reading() as connection:
        stream = events.find(connection, EventFilter())
        assert next(stream) == rows[0]
        assert list(stream) == rows[1:]


def test_times_of_other_zones(store: Store, box: Mailbox) -> None:
    """A moment is the same moment in any zone."""
    tallinn = timezone(2 * HOUR)
    insert(store, dataclasses.replace(event(), received_at=NOW.astimezone(tallinn)))
    (back,) = find(store, since=NOW.astimezone(tallinn), until=(NOW + HOUR).astimezone(tallinn))
    assert back.received_at == NOW


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("a@Example.ORG", "example.org"),
        ('"a@b"@example.org', "example.org"),
        ("a@example.org.", "example.org"),
        ("a@", None),
        ("a", None),
        ("", None),
        (None, None),
    ],
)
def test_domain_of(address: str | None, domain: str | None) -> None:
    """What follows the last "@", in lower case."""
    assert events.domain_of(address) == domain


PLANS = {
    "ix_event_received_at": EventFilter(limit=50),
    "ix_event_company": EventFilter(company="acme", limit=50),
    "ix_event_user": EventFilter(user="MARI", limit=50),
    "ix_event_domain": EventFilter(domain="example.org", limit=50),
    "ix_event_cause": EventFilter(cause=Cause.SPF_FAILED, limit=50),
    "ix_event_kind": EventFilter(kind=Kind.COMPLAINT, limit=50),
    "ix_event_document": EventFilter(document="Invoice 1042", limit=50),
}


@pytest.mark.parametrize("index", PLANS)
def test_filters_use_their_index(tmp_path_factory: pytest.TempPathFactory, index: str) -> None:
    """SQLite answers each common question from an index, not by reading all events."""
    with Store.open(f"sqlite:///{tmp_path_factory.mktemp('plan')}/bounced.db") as store:
        assert index in plan(store, PLANS[index])


def test_recipient_filter_uses_all_its_indexes(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each of the three addresses is looked up in its own index."""
    with Store.open(f"sqlite:///{tmp_path_factory.mktemp('plan')}/bounced.db") as store:
        steps = plan(store, EventFilter(recipient="mari@example.org"))
    for name in ("ix_event_recipient", "ix_event_original_recipient", "ix_event_final_recipient"):
        assert name in steps
    assert "SCAN event" not in steps


def plan(store: Store, wanted: EventFilter) -> str:
    """How SQLite would look for the events."""
    statement = events._statement(wanted)
    with store.reading() as connection:
        compiled = statement.compile(connection, compile_kwargs={"literal_binds": True})
        return "\n".join(row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}")))
