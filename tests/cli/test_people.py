"""Companies and users on the command line: codes, passwords, keys, and what is said of them."""

import io
import sqlite3
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


def test_blanks_around_a_code(bounced, monkeypatch):
    """They make no other user, wherever a code is written."""
    monkeypatch.setenv("PASSWORD", "secret")
    assert bounced("users", "add", " HQ ", "--company", "acme", "--password", "env:PASSWORD").err == ""
    assert "there is a user already" in bounced("users", "add", "HQ ", "--company", "acme").err
    assert bounced("companies", "set", "acme", "--mail-sending-user", " HQ ").exit == 0
    bounced(*MARI)
    bounced("users", "set", "HQ", "--company", "acme", "--mail-sender", "directo-reply-to")
    assert "(from the company-wide user HQ)" in bounced("users", "show", "MARI ").out


def test_an_address_that_no_server_takes(bounced):
    """It is told with the card, the field and the reason."""
    bounced("users", "add", "MARI", "--company", "acme", "--email", "mari@localhost")
    expected = "user MARI: e-mail: its domain has no dot: the end is missing; correct it on the user card of MARI"
    assert f"mail cannot be sent: {expected}" in bounced("users", "show", "MARI").out
    result = bounced("send", "--company", "acme", "--user", "MARI", "--subject", "x", "--to", "a@example.com")
    assert result.err.startswith(f"bounced: {expected}")


def test_import_names_the_row(bounced):
    """In a long table, the row is what one looks for."""
    Path("users.csv").write_text("company,code\nacme,MARI\nacme,\n")
    assert "users.csv: row 2: code is missing" in bounced("users", "import", "users.csv").err
    Path("companies.json").write_text('[{"name": "acme"}, {"mail_sending_user_code": "HQ"}]')
    assert "companies.json: row 2: name is missing" in bounced("companies", "import", "companies.json").err
