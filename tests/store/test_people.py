"""Companies and user cards."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from bounced.errors import InputError
from bounced.store import people
from bounced.store.engine import Store
from bounced.store.people import Credential, MailSender, SmtpTls, User


def put(store: Store, company: str, *cards: dict[str, str | None]) -> None:
    """Add or change users."""
    with store.writing() as connection:
        people.put_users(connection, people.ensure_company(connection, company), cards)


def user(store: Store, company: str, code: str) -> User | None:
    """One user card."""
    with store.writing() as connection:
        return people.find_user(connection, people.ensure_company(connection, company), code)


def test_company_is_known_once(store: Store) -> None:
    """A company is the same in any case, from its first use on."""
    with store.writing() as connection:
        first = people.ensure_company(connection, "Acme")
        assert people.ensure_company(connection, " ACME ") == first
        assert people.ensure_company(connection, "other") != first
        assert [company.name for company in people.companies(connection)] == ["acme", "other"]
        assert people.find_company(connection, "nobody") is None
        with pytest.raises(InputError, match="name"):
            people.ensure_company(connection, " ")


def test_two_daemons_meet_the_same_new_company(store: Store) -> None:
    """Both get the same id."""

    def ensure(_: int) -> int:
        with store.writing() as connection:
            return people.ensure_company(connection, "acme")

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(ensure, range(8)))) == 1


def test_mail_sending_user(store: Store) -> None:
    """The company-wide setting is set and unset."""
    with store.writing() as connection:
        company_id = people.ensure_company(connection, "acme")
        for code in ("HQ", None):
            people.set_mail_sending_user(connection, company_id, code)
            company = people.find_company(connection, "acme")
            assert company
            assert company.mail_sending_user_code == code


def test_card_is_added_and_changed(store: Store) -> None:
    """What a change does not mention stays; what it empties is not set any more."""
    put(store, "acme", {"code": "MARI", "email": " Mari@Acme.example ", "mail_sender": "smtp", "smtp_tls": "ssl"})
    put(store, "acme", {"code": "MARI", "name": "Mari Maasikas", "smtp_tls": ""})
    mari = user(store, "acme", "MARI")
    assert mari
    assert (mari.company, mari.name, mari.email) == ("acme", "Mari Maasikas", "Mari@Acme.example")
    assert (mari.mail_sender, mari.smtp_tls, mari.smtp_server) == (MailSender.SMTP, None, None)
    put(store, "acme", {"code": "MARI"})
    assert user(store, "acme", "MARI") == mari


def test_codes_belong_to_their_company(store: Store) -> None:
    """Two companies may each have a MARI."""
    put(store, "acme", {"code": "MARI", "name": "one"}, {"code": "JAAN", "name": None})
    put(store, "other", {"code": "MARI", "name": "two"})
    mari, namesake = user(store, "acme", "MARI"), user(store, "other", "MARI")
    assert mari
    assert namesake
    assert (mari.name, namesake.name) == ("one", "two")
    assert user(store, "acme", "mari") is None
    with store.reading() as connection:
        assert [card.code for card in people.users(connection, company_id=mari.company_id)] == ["JAAN", "MARI"]
        assert people.users(connection, code="MARI") == [mari, namesake]
        assert len(people.users(connection)) == 3


def test_where_something_is_kept(store: Store) -> None:
    """For a change of keys: what was taken off again is not there."""
    put(store, "acme", {"code": "A"}, {"code": "B"}, {"code": "C"})
    rows = {card: found.id for card in "ABC" if (found := user(store, "acme", card))}
    with store.writing() as connection:
        for code, which, kept in (
            ("A", Credential.PASSWORD, b"x"),
            ("B", Credential.TOKEN, b"y"),
            ("C", Credential.TOKEN, None),
        ):
            people.set_credential(connection, rows[code], which, kept)
        expected = [(rows["A"], Credential.PASSWORD), (rows["B"], Credential.TOKEN)]
        assert people.credentials(connection) == expected


def test_users_by_email(store: Store) -> None:
    """Found in any case, in this company only; two cards with one address are both told."""
    put(store, "acme", {"code": "A", "email": "Mari@acme.example"}, {"code": "B", "email": "mari@acme.example"})
    put(store, "acme", {"code": "C", "email": None, "smtp_tls": SmtpTls.NONE})
    put(store, "other", {"code": "D", "email": "mari@acme.example"})
    with store.reading() as connection:
        acme = people.find_company(connection, "acme")
        assert acme
        found = people.users_by_email(connection, acme.id, ["MARI@ACME.EXAMPLE", "x@example.org"])
        assert [card.code for card in found] == ["A", "B"]
        assert people.users_by_email(connection, acme.id, []) == []


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        ([{"name": "x"}], "needs a code"),
        ([{"code": " "}], "needs a code"),
        ([{"code": "A"}, {"code": "A "}], "twice: A"),
        ([{"code": "A", "name": "x\0"}], "user A: name: it has a control character"),
        ([{"code": "A", "name": "\ud800"}], "user A: name: it has a control character"),
        ([{"code": "A", "password": "hunter2"}], "no field password"),
        ([{"code": "A", "mail_sender": "fax"}], "mail_sender is one of directo, smtp, directo-reply-to, microsoft365"),
        ([{"code": "A", "smtp_tls": "yes"}], "smtp_tls is one of ssl, starttls, none, not yes"),
        ([{"code": "A", "name": "x"}, {"code": "B", "email": "x"}], "user B: it has other fields"),
    ],
)
def test_wrong_cards_are_refused_whole(store: Store, cards: list[dict[str, str | None]], words: str) -> None:
    """One wrong card of an import keeps all of them out, and is named."""
    with pytest.raises(InputError, match=words):
        put(store, "acme", *cards)
    with store.reading() as connection:
        assert people.users(connection) == []
