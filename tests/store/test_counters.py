"""Counters: added up, corrected, broken down."""

import dataclasses
from collections import Counter
from datetime import date, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from bounced.model import Match
from bounced.store import counters, mailboxes, people, tables
from bounced.store.counters import By, CounterFilter, Key, Total
from bounced.store.engine import Store
from parsers.causes.cause import Cause
from parsers.report import Kind
from tests.store.samples import NOW, event

DAY = date(2026, 11, 23)
KEY = Key(DAY, 0, 0, 0, "", "bounce", "user-unknown", "example.org")


def totals(store: Store, by: By, **chosen: object) -> list[Total]:
    """The breakdown."""
    with store.reading() as connection:
        return counters.totals(connection, by, CounterFilter(**chosen))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.dictionaries(
            st.builds(KEY._replace, user_id=st.integers(0, 2), cause=st.sampled_from(["", "spf-failed"])),
            st.integers(-3, 5),
        )
    )
)
def test_counts_add_up(store: Store, batches: list[dict[Key, int]]) -> None:
    """After any batches the counters hold the sum, and what came to nothing is not shown."""
    expected: Counter[str | None] = Counter()
    with store.writing() as connection:
        connection.execute(delete(tables.Counter))
        for batch in batches:
            counters.add(connection, batch)
            for key, number in batch.items():
                expected[key.cause or None] += number
    shown = {total.name: total.events for total in totals(store, By.CAUSE)}
    assert shown == {cause: number for cause, number in expected.items() if number}


def test_corrected_classification_moves_the_count(store: Store) -> None:
    """Taking from one cause and adding to another leaves the sum as it was."""
    with store.writing() as connection:
        counters.add(connection, {KEY: 2})
        counters.add(connection, {KEY: -1, KEY._replace(cause="spf-failed"): 1})
        counters.add(connection, {})
    assert totals(store, By.CAUSE) == [Total("spf-failed", None, 1), Total("user-unknown", None, 1)]


def test_breakdowns_and_filters(store: Store) -> None:
    """By cause, domain and user the highest first, by day in order; each filter leaves out the others."""
    with store.writing() as connection:
        acme = people.ensure_company(connection, "acme")
        other = people.ensure_company(connection, "other")
        for company_id in (acme, other):
            people.put_users(connection, company_id, [{"code": "MARI"}])
        mari, namesake = people.users(connection, code="MARI")
        box = mailboxes.ensure(connection, "box")
        counters.add(
            connection,
            {
                KEY._replace(company_id=acme, user_id=mari.id, mailbox_id=box.id): 5,
                KEY._replace(company_id=acme, day=DAY - timedelta(days=1), cause="", kind="auto-reply"): 2,
                KEY._replace(company_id=other, user_id=namesake.id, recipient_domain="example.net"): 9,
            },
        )
    assert totals(store, By.CAUSE) == [Total("user-unknown", None, 14), Total(None, None, 2)]
    assert totals(store, By.DOMAIN) == [Total("example.net", None, 9), Total("example.org", None, 7)]
    assert totals(store, By.USER) == [Total("MARI", "other", 9), Total("MARI", "acme", 5), Total(None, "acme", 2)]
    assert totals(store, By.DAY) == [Total("2026-11-22", None, 2), Total("2026-11-23", None, 14)]
    assert totals(store, By.DAY, company="Acme") == [Total("2026-11-22", None, 2), Total("2026-11-23", None, 5)]
    assert totals(store, By.DAY, company="acme", user="MARI") == [Total("2026-11-23", None, 5)]
    assert totals(store, By.DAY, mailbox="box") == [Total("2026-11-23", None, 5)]
    assert totals(store, By.DAY, kind=Kind.AUTO_REPLY) == [Total("2026-11-22", None, 2)]
    assert totals(store, By.DAY, since=DAY) == [Total("2026-11-23", None, 14)]
    assert totals(store, By.DAY, until=DAY) == [Total("2026-11-22", None, 2)]


@pytest.mark.parametrize(
    ("match", "user_id"),
    [
        (Match(matched_by="verp", user_id=7), 7),
        (Match(matched_by="verp", user_id=7, forged=True), 0),
        (Match(user_id=7), 0),
    ],
)
def test_only_a_proven_event_counts_for_its_user(match: Match, user_id: int) -> None:
    """Forged and unmatched events are counted, but for nobody."""
    assert counters.key_of(event(match=match), None).user_id == user_id


def test_key_of_an_event() -> None:
    """The UTC day, and what the event knows."""
    late = NOW.replace(hour=23).astimezone(timezone(timedelta(hours=2)))
    bounce = dataclasses.replace(event("a@Example.org", match=Match(company_id=3)), received_at=late)
    assert counters.key_of(bounce, 4) == Key(DAY, 3, 4, 0, "", "bounce", Cause.USER_UNKNOWN.value, "example.org")
    other = event(None, kind=Kind.OTHER, cause=None)
    assert counters.key_of(other, None) == Key(DAY, 0, 0, 0, "", "other", "", "")


@pytest.mark.parametrize(
    ("matched_by", "forged", "counts"), [("envid", False, True), ("envid", True, False), (None, False, False)]
)
def test_sender_configs_are_counted_apart(matched_by: str | None, forged: bool, counts: bool) -> None:
    """Equal settings are one, other ones another; only what is matched and not forged says which."""
    keys = {
        counters.key_of(
            dataclasses.replace(event(), match=Match(matched_by=matched_by, forged=forged, sender_config=config)), None
        ).sender_config
        for config in ({"mode": "smtp", "user": "MARI"}, {"user": "MARI", "mode": "smtp"}, {"mode": "directo"})
    }
    assert len(keys) == (2 if counts else 1)
    assert ("" in keys) == (not counts)
