"""Companies and users on the command line: codes, passwords, keys, and what is said of them."""

import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bounced import config
from bounced.keys import Keyring
from bounced.send import cards
from bounced.store import people
from bounced.store.engine import Store
from bounced.store.people import Credential

DATABASE = Path("var/bounced.db")
MARI = ("users", "add", "MARI", "--company", "acme", "--email", "mari@example.com")
KEYS = {"OLD": "o" * 32, "NEW": "n" * 32}


def configure(*keys: str) -> None:
    """The keys, by the variables that hold them."""
    Path("bounced.toml").write_text(f"[secrets]\nkeys = {[f'env:{key}' for key in keys]}\n")


def kept(code: str = "MARI") -> tuple[str | None, int | None]:
    """A user's password, and how often it was set."""
    found = config.load()
    with Store.open(found.database.url) as store, store.reading() as connection:
        (user,) = people.users(connection, code=code)
        if user.password_version is None:
            return None, None
        return cards.secret(connection, Keyring.open(found), user.id, Credential.PASSWORD), user.password_version


def typed(monkeypatch, said: bytes) -> None:
    """What comes on standard input."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(said), encoding="utf-8"))


@pytest.mark.parametrize("said", [b"p\xc3\xb5hja tuul\r\n", b"p\xc3\xb5hja tuul", b"p\xc3\xb5hja tuul\nmore\n"])
def test_password_from_standard_input(bounced, monkeypatch, said):
    """The first line, without its end."""
    typed(monkeypatch, said)
    assert bounced(*MARI, "--password", "-").exit == 0
    assert kept() == ("põhja tuul", 1)


@pytest.mark.parametrize("said", [b"", b"\n"])
def test_no_password_on_standard_input(bounced, monkeypatch, said):
    """A program that failed and said nothing does not take the password off."""
    monkeypatch.setenv("PASSWORD", "secret")
    bounced(*MARI, "--password", "env:PASSWORD")
    typed(monkeypatch, said)
    result = bounced("users", "set", "MARI", "--company", "acme", "--password", "-")
    assert (result.exit, result.err.count("\n")) == (1, 1)
    assert "there is none on standard input" in result.err
    assert kept() == ("secret", 1)
    typed(monkeypatch, b"")
    assert bounced("users", "set", "MARI", "--company", "acme", "--password", "").exit == 0
    assert kept() == (None, None)


@pytest.mark.parametrize("where", ["-", "env:PASSWORD", "file:password"])
def test_password_in_another_charset(bounced, monkeypatch, where):
    """It is refused instead of being kept as another one, and no piece of it is shown."""
    said = b"geheim\xe4\n"
    typed(monkeypatch, said)
    monkeypatch.setenv("PASSWORD", said.decode("utf-8", "surrogateescape").strip())
    Path("password").write_bytes(said)
    result = bounced(*MARI, "--password", where)
    assert (result.exit, result.err.count("\n")) == (1, 1)
    assert "not" in result.err
    assert "UTF-8 text" in result.err.replace("utf-8", "UTF-8")
    assert "geheim" not in result.err
    assert "e4" not in result.err


def test_who_types_a_password_keeps_nobody_waiting(bounced, monkeypatch):
    """Meanwhile the database is free for the daemon."""
    bounced(*MARI)

    class Typing(io.StringIO):
        def readline(self, *_limit: int) -> str:
            with closing(sqlite3.connect(DATABASE, timeout=0)) as other:
                other.execute("BEGIN IMMEDIATE")
            return "secret\n"

    monkeypatch.setattr("sys.stdin", Typing())
    assert bounced("users", "set", "MARI", "--company", "acme", "--password", "-").err == ""
    assert kept() == ("secret", 1)


def test_keys_are_changed(bounced, monkeypatch):
    """Once all is encrypted anew the old key may go; nobody's version changes, so that no sender config does."""
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)
    monkeypatch.setenv("PASSWORD", "secret")
    configure("OLD")
    bounced(*MARI, "--password", "env:PASSWORD")
    bounced("users", "add", "JAAN", "--company", "acme")
    configure("NEW")
    result = bounced("users", "rotate")
    assert result.exit == 1
    assert "the password on the user card of MARI cannot be decrypted: put the key" in result.err
    configure("NEW", "OLD")
    assert bounced("users", "rotate").out == "1 passwords and logins\n"
    configure("NEW")
    assert kept() == ("secret", 1)


def test_blanks_around_a_code(bounced, monkeypatch):
    """They make no other user, wherever a code is written."""
    monkeypatch.setenv("PASSWORD", "secret")
    assert bounced("users", "add", " HQ ", "--company", "acme", "--password", "env:PASSWORD").err == ""
    assert "there is a user already" in bounced("users", "add", "HQ ", "--company", "acme").err
    assert bounced("companies", "set", "acme", "--mail-sending-user", " HQ ").exit == 0
    bounced(*MARI)
    bounced("users", "set", "HQ", "--company", "acme", "--mail-sender", "directo-reply-to")
    assert "(from the company-wide user HQ)" in bounced("users", "show", "MARI ").out


def test_mail_sending_user_without_a_card(bounced):
    """Mistyped, it would have everybody's mail go out in another way: both commands that explain the way say so."""
    bounced(*MARI)
    bounced("companies", "set", "acme", "--mail-sending-user", "hq")
    bounced("users", "add", "HQ", "--company", "acme", "--mail-sender", "directo-reply-to")
    warning = "warning: there is no user hq, whom the system setting Mail sending user code names"
    assert warning in bounced("users", "show", "MARI").out
    bounced("companies", "set", "acme", "--mail-sending-user", "HQ")
    assert "there is no user" not in bounced("users", "show", "MARI").out


def test_an_address_that_no_server_takes(bounced):
    """It is told with the card, the field and the reason."""
    bounced("users", "add", "MARI", "--company", "acme", "--email", "mari@localhost")
    expected = "user MARI: e-mail: its domain has no dot: the end is missing; correct it on the user card of MARI"
    assert f"mail cannot be sent: {expected}" in bounced("users", "show", "MARI").out
    result = bounced("send", "--company", "acme", "--user", "MARI", "--subject", "x", "--to", "a@example.com")
    assert result.err.startswith(f"bounced: {expected}")


def test_where_bounces_go(bounced):
    """Whether the user's own mailbox is polled is told, and else what to add to bounced.toml, in its own notation."""
    bounced("users", "add", "JÜRI", "--company", "acme", "--email", "j@example.com")
    assert 'to poll it, add a [[mailbox]] with user = "JÜRI"' in bounced("users", "show", "JÜRI").out
    box = {"name": "juri", "company": "Acme", "user": "JÜRI", "host": "h", "username": "u", "password": "env:P"}
    Path("bounced.toml").write_text("[[mailbox]]\n" + "".join(f'{key} = "{value}"\n' for key, value in box.items()))
    assert "the user's own mailbox, j@example.com: polled as juri" in bounced("users", "show", "JÜRI").out


def test_import_names_the_row(bounced):
    """In a long table, the row is what one looks for."""
    Path("users.csv").write_text("company,code\nacme,MARI\nacme,\n")
    assert "users.csv: row 2: code is missing" in bounced("users", "import", "users.csv").err
    Path("companies.json").write_text('[{"name": "acme"}, {"mail_sending_user_code": "HQ"}]')
    assert "companies.json: row 2: name is missing" in bounced("companies", "import", "companies.json").err


def test_the_outbox_as_a_table(bounced):
    """Its columns are what a person reads: several recipients stand beside each other."""
    bounced(*MARI)
    to = [part for name in ("a", "b") for part in ("--to", f"{name}@customer.example")]
    assert bounced("send", "--company", "acme", "--user", "MARI", "--subject", "Invoice", *to).exit == 0
    assert "  a@customer.example, b@customer.example  " in bounced("outbox", "list").out


def test_a_message_for_hidden_recipients_alone(bounced):
    """A recipient is needed, in whichever place."""
    bounced(*MARI)
    letter = ("send", "--company", "acme", "--user", "MARI", "--subject", "Invoice")
    assert bounced(*letter, "--bcc", "a@customer.example").exit == 0
    assert "  a@customer.example  " in bounced("outbox", "list").out
    result = bounced(*letter)
    assert (result.exit, result.err) == (1, "bounced: recipients: there is none\n")


def test_an_empty_document_is_none(bounced):
    """As programs hand over what they do not have."""
    bounced(*MARI)
    letter = ("--user", "MARI", "--subject", "Invoice", "--to", "a@customer.example", "--document", "")
    assert bounced("send", "--company", "acme", *letter).exit == 0
    assert json.loads(bounced("outbox", "list", "--format", "jsonl").out)["document"] is None
