"""What an administrator reads when something between here and a real server is wrong: one line, what and where."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BOUNCE = (Path(__file__).parents[2] / "fixtures/dsn/postfix-user-unknown.eml").read_bytes()

CONFIG = """
[[mailbox]]
name = "acme"
company = "acme"
host = "{host}"
port = {port}
username = "{username}"
password = "env:IMAP_PASSWORD"
{more}
"""


@pytest.fixture
def bounced(tmp_path, mailbox):
    """Runs `bounced` with one mailbox on the real Dovecot; keyword arguments replace settings."""

    def run(*arguments, password=None, more="", tls=True, **settings):
        dovecot = mailbox.dovecot
        values = {"host": "127.0.0.1", "port": dovecot.tls_port, "username": mailbox.user} | settings
        more += f'\nca_file = "{dovecot.ca_file}"' if tls else ""
        (tmp_path / "bounced.toml").write_text(CONFIG.format(more=more, **values))
        environment = os.environ | {"IMAP_PASSWORD": password or dovecot.password}
        command = [sys.executable, "-m", "bounced", "--config", str(tmp_path / "bounced.toml"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


def test_all_is_well(bounced, mailbox):
    """A right configuration: a line for each thing tested, exit 0; nothing in the mailbox is changed."""
    mailbox.deliver(BOUNCE)
    before = mailbox.messages()
    result = bounced("check")
    assert result.returncode == 0
    assert [line[:5] for line in result.stdout.splitlines()] == ["ok   ", "ok   ", "ok   "]
    assert mailbox.messages() == before


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"password": "wrong-s3cret"}, "mailbox acme: 127.0.0.1"),
        ({"tls": False}, "certificate"),
        ({"host": "localhost.invalid"}, "localhost.invalid"),
        ({"port": 1}, "127.0.0.1:1"),
        ({"more": 'folder = "None Such"'}, "None Such"),
        ({"more": 'after = "move:None Such"'}, "None Such"),
        ({"more": 'tls = "starttls"', "port": "{plain}"}, None),
    ],
    ids=["password", "certificate", "name", "port", "folder", "target", "starttls"],
)
def test_each_mistake(bounced, mailbox, settings, expected):
    """Each mistake is found by `check` and by `poll --once`: one line, exit 1, no traceback, no secret."""
    if settings.get("port") == "{plain}":
        settings = settings | {"port": mailbox.dovecot.port}
    checked, polled = bounced("check", **settings), bounced("poll", "--once", **settings)
    if expected is None:
        assert (checked.returncode, polled.returncode) == (0, 0)
        return
    assert checked.returncode == polled.returncode == 1
    (line,) = (line for line in checked.stdout.splitlines() if line.startswith("WRONG"))
    assert expected in line
    (error,) = polled.stderr.splitlines()
    assert error.startswith("bounced: mailbox acme: ")
    assert expected in error
    for said in (checked.stdout, checked.stderr, polled.stdout, polled.stderr):
        assert "Traceback" not in said
        assert "s3cret" not in said


def test_status_after_a_failure(bounced):
    """`status` and `mailboxes` tell the last error, until a poll goes well."""
    bounced("poll", "--once", password="wrong")
    (row,) = map(json.loads, bounced("status", "--format", "jsonl").stdout.splitlines())
    assert row["failures"] == 1
    assert "127.0.0.1" in row["last_error"]
    assert bounced("poll", "--once").returncode == 0
    (row,) = map(json.loads, bounced("status", "--format", "jsonl").stdout.splitlines())
    assert (row["failures"], row["last_error"], row["backlog"]) == (0, None, 0)
    (listed,) = map(json.loads, bounced("mailboxes", "--format", "jsonl").stdout.splitlines())
    assert (listed["company"], listed["after"], listed["polled_by"]) == ("acme", "keep", None)
