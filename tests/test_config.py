"""bounced.toml: what is read, and what each mistake is answered with."""

import errno
import os
import re
from datetime import timedelta
from pathlib import Path

import pytest

from bounced import config
from bounced.config import After, NameServer, Secret
from bounced.errors import ConfigError

MISSING = os.strerror(errno.ENOENT)

BOX = """
[[mailbox]]
name = "acme"
host = "imap.example.com"
username = "acme@example.com"
password = "env:ACME_PASSWORD"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "bounced.toml"
    path.write_text(text)
    return path


def problems(path: Path, environment: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        config.load(path, environment or {})
    return caught.value.problems


def test_defaults_need_no_file(tmp_path, monkeypatch):
    """Without any file the defaults of the documentation hold."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BOUNCED_CONFIG", raising=False)
    loaded = config.load(None, {})
    assert loaded.poll.interval == timedelta(seconds=60)
    assert loaded.poll.max_message_size == 5 * 1024 * 1024
    assert loaded.retention.events == timedelta(days=730)
    assert loaded.mailbox == ()


def test_sample_is_valid():
    """The bounced.toml of the project is a valid configuration that changes no default."""
    sample = config.load(Path(__file__).parents[1] / "bounced.toml", {})
    assert sample.model_copy(update={"database": config.Database()}) == config.Config()


def test_sample_has_every_key():
    """What can be set stands in the bounced.toml of the project, in its table, if only as a comment."""
    found, heading = set(), "top"
    for line in (Path(__file__).parents[1] / "bounced.toml").read_text().splitlines():
        if table := re.fullmatch(r"(?:# )?\[+(\w+)\]+", line):
            heading = table[1]
        elif key := re.match(r"(?:# )?(\w+) = ", line):
            found.add((heading, key[1]))
    tables = {name: type(value) for name, value in config.Config() if isinstance(value, config.Table)}
    tables["mailbox"] = config.Mailbox
    wanted = {(name, key) for name, table in tables.items() for key in table.model_fields}
    assert found == wanted | {("top", "include")}


def test_mailbox_is_read(tmp_path):
    """A mailbox has its defaults, and its secret is read only when it is asked for."""
    (box,) = config.load(write(tmp_path, BOX + 'after = "move:Done"\ninterval = "5m"'), {}).mailbox
    assert (box.port, box.tls, box.folder) == (993, "implicit", "INBOX")
    assert box.after == After("move", "Done")
    assert str(box.after) == "move:Done"
    assert box.interval == timedelta(minutes=5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[poll]\nintervall = "60s"', "poll.intervall: there is no such key; did you mean interval?"),
        ("[databse]", "databse: there is no such key; did you mean database?"),
        ('[poll]\ninterval = "60"', "poll.interval: expected a number and a unit"),
        ("[poll]\ninterval = 60", "poll.interval: expected a number and a unit"),
        ('[poll]\nmax_message_size = "5 potatoes"', "poll.max_message_size: expected a number and a unit"),
        ('[database]\nurl = "mysql://x"', "database.url: "),
        ('[log]\nformat = "xml"', "log.format: Input should be 'auto', 'console' or 'json'"),
        ("poll = 3", "poll: "),
        ("x = ", "is not valid TOML"),
        ("[mailbox]\nname = 'acme'", "mailbox: expected [[mailbox]] tables, with two brackets"),
        (BOX.replace("imap.example.com", ""), "mailbox acme: host: "),
        (BOX + "port = 99999", "mailbox acme: port: Input should be less than or equal to 65535"),
        (BOX + 'port = "993"', "mailbox acme: port: Input should be a valid integer"),
        (BOX + "prot = 1", "mailbox acme: prot: there is no such key; did you mean port?"),
        (BOX + 'tls = "off"', "mailbox acme: tls: "),
        (BOX + 'after = "move:"', "mailbox acme: after: expected keep, seen, move:FOLDER or delete"),
        (BOX + 'after = "purge"', "mailbox acme: after: expected keep, seen, move:FOLDER or delete"),
        (BOX + 'after = "move:INBOX"', "mailbox acme: after moves messages into the folder that is polled"),
        (BOX + 'after = "move:inbox"', "mailbox acme: after moves messages into the folder that is polled"),
        (BOX + 'folder = "a\\nb"', "mailbox acme: folder: expected a folder's name"),
        (BOX + 'user = "MARI"', "mailbox acme: user needs company"),
        (BOX + BOX, "mailbox acme: the name is taken already"),
        (BOX + BOX.replace('"acme"', '"other"'), "mailbox other: polls the same folder as mailbox acme"),
        (
            BOX + BOX.replace('"acme"', '"other"') + 'folder = "Inbox"',
            "mailbox other: polls the same folder as mailbox acme",
        ),
        ('[retention]\nevents = "999999999d"', 'retention.events: at most "36525d"'),
        (BOX + 'oauth = { token_command = "x" }', "mailbox acme: needs either password or oauth"),
        (BOX.replace('password = "env:ACME_PASSWORD"', ""), "mailbox acme: needs either password or oauth"),
        (BOX.replace('name = "acme"', ""), "mailbox number 1: name: is missing"),
        (
            BOX.replace('password = "env:ACME_PASSWORD"', 'oauth = { client_id = "x" }'),
            "mailbox acme: oauth: needs either token_command, or refresh_token, client_id and token_url",
        ),
    ],
)
def test_each_mistake_has_its_line(tmp_path, text, expected):
    """Each mistake is one line that names the file, the key and what is wrong with it."""
    path = write(tmp_path, text)
    (line,) = problems(path)
    assert line.startswith(f"{path}: ")
    assert expected in line
    assert "\n" not in line


def test_secret_in_the_file_is_refused_and_not_repeated(tmp_path):
    """A password written into the file is an error that does not print it."""
    (line,) = problems(write(tmp_path, BOX.replace("env:ACME_PASSWORD", "hunter2")))
    assert "env:NAME, file:PATH or credential:NAME" in line
    assert "hunter2" not in line


def test_all_problems_at_once(tmp_path):
    """A person who has made three mistakes reads three lines."""
    assert len(problems(write(tmp_path, BOX + 'port = 0\ntls = "x"\n[poll]\nintervall = "1s"'))) == 3


def test_environment_overrides_a_key(tmp_path):
    """BOUNCED_TABLE__KEY replaces one key, whatever its type."""
    loaded = config.load(
        write(tmp_path, '[poll]\ninterval = "1m"'),
        {
            "BOUNCED_POLL__INTERVAL": "5m",
            "BOUNCED_SEND__ALLOW_PLAINTEXT_LOGIN": "true",
            "BOUNCED_SEND__RESOLVER": '["192.0.2.1"]',
            "BOUNCED_DATABASE__URL": "postgresql+psycopg://u:p@h/d",
        },
    )
    assert loaded.poll.interval == timedelta(minutes=5)
    assert loaded.send.allow_plaintext_login is True
    assert loaded.send.resolver == [NameServer("192.0.2.1")]
    assert loaded.database.url == "postgresql+psycopg://u:p@h/d"
    assert "u:p" not in repr(loaded)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("BOUNCED_DATABASE__URLX", "x", "environment: BOUNCED_DATABASE__URLX: there is no such key"),
        ("BOUNCED_DATABASE_URL", "x", "environment: BOUNCED_DATABASE_URL: there is no such key"),
        ("BOUNCED_MAILBOX__HOST", "x", "environment: BOUNCED_MAILBOX__HOST: there is no such key"),
        ("BOUNCED_LOG__FORMAT", "xml", "environment: BOUNCED_LOG__FORMAT: Input should be"),
        ("BOUNCED_SEND__ALLOW_PLAINTEXT_LOGIN", "yes", "expected true or false"),
        ("BOUNCED_SEND__RESOLVER", "[1", "is not a list or a table"),
    ],
)
def test_mistyped_variable(tmp_path, variable, value, expected):
    """A variable that means nothing is an error, not a silent default."""
    (line,) = problems(write(tmp_path, ""), {variable: value})
    assert expected in line


def test_include_adds_mailboxes(tmp_path):
    """Further files add mailboxes; mistakes in them name them."""
    (tmp_path / "boxes.d").mkdir()
    (tmp_path / "boxes.d" / "b.toml").write_text(BOX)
    path = write(tmp_path, 'include = "boxes.d/*.toml"\n' + BOX.replace("acme", "first"))
    assert [box.name for box in config.load(path, {}).mailbox] == ["first", "acme"]
    (tmp_path / "boxes.d" / "c.toml").write_text('[poll]\ninterval = "1s"\n' + BOX + "port = 0")
    found = problems(path)
    assert any("c.toml: poll: only [[mailbox]] tables" in line for line in found)
    assert any("c.toml: mailbox acme: port" in line for line in found)


def test_included_file_that_is_missing(tmp_path):
    """A pattern may match nothing; a file that is named must be there, or its mailboxes would silently stand still."""
    assert config.load(write(tmp_path, 'include = "boxes.d/*.toml"'), {}).mailbox == ()
    assert problems(write(tmp_path, 'include = "b.toml"')) == (f"{tmp_path}/b.toml: cannot be read: {MISSING}",)


def test_system_file_in_a_closed_folder(tmp_path, monkeypatch):
    """Who may not look into /etc/bounced is told so, instead of being given the defaults."""

    class Closed(type(Path())):
        def exists(self):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        def open(self, *_):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BOUNCED_CONFIG", raising=False)
    monkeypatch.setattr("bounced.config.file.SYSTEM_PATH", Closed("/etc/bounced/bounced.toml"))
    with pytest.raises(ConfigError, match=r"/etc/bounced/bounced.toml: cannot be read: Permission denied"):
        config.load(None, {})


def test_relative_paths_count_from_the_file(tmp_path):
    """Every command finds the same database, wherever it is started."""
    loaded = config.load(write(tmp_path, BOX + 'ca_file = "ca.pem"'), {})
    assert loaded.database.url == f"sqlite:///{tmp_path}/var/bounced.db"
    assert loaded.mailbox[0].ca_file == tmp_path / "ca.pem"


def test_named_file_must_exist(tmp_path):
    """A file that is named but missing is an error, not the defaults."""
    assert "No such file" in problems(tmp_path / "none.toml")[0]


def test_secrets(tmp_path, monkeypatch):
    """Each kind of secret is read from its place; each failure names place and remedy, never the secret."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    (tmp_path / "pw").write_text("s3cret\n")
    monkeypatch.setenv("PW", "other")
    assert Secret("file:pw", folder=tmp_path).read() == "s3cret"
    assert Secret("env:PW").read() == "other"
    assert "s3cret" not in repr(Secret("file:pw", folder=tmp_path))
    for reference, expected in [
        ("file:none", "cannot read"),
        ("env:NONE", "the environment variable NONE is not set"),
        ("credential:x", "needs systemd's credentials directory"),
    ]:
        with pytest.raises(ConfigError, match=expected) as caught:
            Secret(reference, where="f: mailbox acme: password", folder=tmp_path).read()
        assert str(caught.value).startswith("f: mailbox acme: password: ")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert Secret("credential:pw").read() == "s3cret"


def test_missing_secrets_are_all_reported(tmp_path):
    """Starting with two missing passwords reports two lines, each naming its mailbox."""
    loaded = config.load(write(tmp_path, BOX + BOX.replace("acme", "b")), {})
    with pytest.raises(ConfigError) as caught:
        loaded.read_secrets()
    assert ["mailbox acme: password" in p or "mailbox b: password" in p for p in caught.value.problems] == [True, True]
