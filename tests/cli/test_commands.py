"""What each command prints and how it ends."""

import csv
import io
import json
import os
import pty
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bounced.cli import demo
from bounced.model import KEYS

FIXTURES = Path(__file__).parents[2] / "fixtures"
BOUNCE = FIXTURES / "dsn/postfix-user-unknown.eml"

HOSTILE = b"""\
From: MAILER-DAEMON@mx.example.org
To: acme@event.data.directo.ee
Subject: =?utf-8?q?=3Dcmd=1B=5B31m=E2=80=AE?=
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; =evil@example.org
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 \x1b[31m<script>alert(1)</script>

--b--
"""


def rows(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_help_answers_within_three_tenths():
    """Heavy imports are lazy: a person who asks for help does not wait (median of five)."""
    took = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "bounced", "--help"], check=True, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - started)
    assert statistics.median(took) < 1.0  # 0.3 s on an idle machine; a loaded one is given time


def test_help_imports_nothing_heavy():
    """What makes the answer slow stays out: the database, the parsers, the configuration, the tables."""
    code = "import sys; from bounced.cli import app; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    heavy = {"sqlalchemy", "pydantic", "structlog", "apscheduler", "imapclient", "flanker", "re2", "rich", "alembic"}
    assert not heavy & set(loaded)


def test_replay_prints_every_key_in_order(bounced):
    """One JSON object per event, with the contract's keys in its order; nothing is stored."""
    result = bounced("replay", str(BOUNCE), "--format", "jsonl")
    (event,) = rows(result.out)
    assert tuple(event) == KEYS
    assert event["source"] == str(BOUNCE)
    assert event["cause"] == "user-unknown"
    assert event["id"] is None
    assert not Path("var").exists()
    assert result.exit == 0


def test_replay_needs_no_configuration(bounced):
    """A broken bounced.toml is no concern of a replay that stores nothing."""
    Path("bounced.toml").write_text("nonsense = [")
    assert bounced("replay", str(BOUNCE)).exit == 0


def test_replay_check(bounced, tmp_path):
    """--check agrees with the JSON beside a fixture, and exits 1 naming the key that differs."""
    mail, expected = tmp_path / "a.eml", tmp_path / "a.json"
    mail.write_bytes(BOUNCE.read_bytes())
    event = rows(bounced("replay", str(BOUNCE), "--format", "jsonl").out)[0]
    assert bounced("replay", "--check", str(mail)).exit == 1, "no JSON beside it"
    stored = {"id", "source", "received_at", "matched_by", "forged", "company", "user", "document", "mode"}
    stored |= {"sender_config", "outbound_id", "mailbox", "tried_ids"}
    wanted = {key: value for key, value in event.items() if key not in stored}
    expected.write_text(json.dumps([wanted]))
    assert bounced("replay", "--check", str(mail)).exit == 0
    expected.write_text(json.dumps([wanted | {"cause": "mailbox-full"}]))
    result = bounced("replay", "--check", str(mail))
    assert result.exit == 1
    assert 'cause is "user-unknown", expected "mailbox-full"' in result.out


def test_replay_store_stores_once(bounced):
    """--store keeps the events; the same mail replayed again is passed over."""
    assert len(rows(bounced("replay", "--store", str(BOUNCE), "--format", "jsonl").out)) == 1
    assert rows(bounced("replay", "--store", str(BOUNCE), "--format", "jsonl").out) == []
    (event,) = rows(bounced("events", "--format", "jsonl").out)
    assert event["source"] == str(BOUNCE)
    assert event["id"]


def test_event_in_words(bounced):
    """`events show` tells what happened, why, who must act and what to do; --raw gives the message back."""
    bounced("replay", "--store", str(BOUNCE))
    (event,) = rows(bounced("events", "--format", "jsonl").out)
    told = bounced("events", "show", event["id"]).out
    for expected in (
        "What happened",
        "Who must act",
        "What to do",
        event["recipient"],
        "(user-unknown)",
        event["diagnostic"],
    ):
        assert expected in told
    shown = subprocess.run(
        [sys.executable, "-m", "bounced", "events", "show", event["id"], "--raw"], check=True, capture_output=True
    )
    assert shown.stdout == BOUNCE.read_bytes()


def test_estonian(bounced, monkeypatch):
    """A user whose locale is Estonian reads Estonian."""
    english = bounced("causes").out
    monkeypatch.setenv("LC_ALL", "et_EE.UTF-8")
    estonian = bounced("causes").out
    assert english != estonian
    assert "õ" in estonian
    assert len(rows(bounced("causes", "--format", "jsonl").out)) == 35


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["--cause", "user-unknown"], True),
        (["--cause", "mailbox-full"], False),
        (["--kind", "bounce"], True),
        (["--kind", "delay"], False),
        (["--company", "nobody"], False),
        (["--since", "2000-01-01"], True),
        (["--until", "2000-01-01"], False),
        (["--text", "%"], False),
        (["--since", "9999-12-31"], False),
        (["--until", "9999-12-31"], True),
    ],
)
def test_event_filters(bounced, filters, found):
    """Each filter lets through what it says, and wildcards of the database mean themselves."""
    bounced("replay", "--store", str(BOUNCE))
    assert bool(rows(bounced("events", "--format", "jsonl", *filters).out)) is found


def test_times_are_taken_as_they_are_told(bounced):
    """A moment is copied from an event: it is meant exactly, midnight, too."""
    bounced("replay", "--store", str(BOUNCE))
    (event,) = rows(bounced("events", "--format", "jsonl").out)
    moment = event["received_at"]
    assert rows(bounced("events", "--format", "jsonl", "--since", moment, "--until", moment).out) == [event]
    midnight = f"{moment[:10]}T00:00:00Z"
    assert rows(bounced("events", "--format", "jsonl", "--until", midnight).out) == []


def test_stats(bounced):
    """Counts by cause, as numbers for programs and with bars for people."""
    bounced("replay", "--store", str(FIXTURES / "dsn"))
    counts = {row["cause"]: row["events"] for row in rows(bounced("stats", "--format", "jsonl").out)}
    assert counts["user-unknown"] > 5
    assert f"user-unknown {counts['user-unknown']}" in " ".join(bounced("stats").out.split())
    assert "█" in bounced("stats").out
    assert bounced("stats", "--until", "9999-12-31").out == bounced("stats").out
    assert sum(row["events"] for row in rows(bounced("stats", "--by", "day", "--format", "jsonl").out)) == sum(
        counts.values()
    )


def test_hostile_text_is_harmless(bounced, tmp_path):
    """No escape sequence, no turned text and no spreadsheet formula comes out of a mail."""
    (tmp_path / "hostile.eml").write_bytes(HOSTILE)
    for style in ("table", "csv", "jsonl"):
        result = bounced("replay", str(tmp_path / "hostile.eml"), "--format", style)
        assert "\x1b" not in result.out
        assert "\u202e" not in result.out
    (event,) = csv.DictReader(io.StringIO(bounced("replay", str(tmp_path / "hostile.eml"), "--format", "csv").out))
    assert event["recipient"] == "'=evil@example.org"


def test_people(bounced, tmp_path):
    """Companies and users are added, set, imported, shown; what is wrong is one line."""
    assert bounced("companies", "add", "acme", "--mail-sending-user", "HQ").exit == 0
    assert bounced("companies", "add", "acme").exit == 1
    assert bounced("users", "add", "MARI", "--company", "acme", "--email", "mari@example.com").exit == 0
    assert bounced("users", "set", "MARI", "--company", "acme", "--mail-sender", "smtp", "--email", "").exit == 0
    shown = bounced("users", "show", "MARI").out
    assert "smtp" in shown
    assert "mari@example.com" not in shown
    table = tmp_path / "users.csv"
    table.write_text("company;code;email\nacme;MARI;m@example.com\nbeta;MARI;b@example.com\n")
    assert bounced("users", "import", str(table)).out == "2 users\n"
    ambiguous = bounced("users", "show", "MARI")
    assert ambiguous.exit == 1
    assert "name one: acme, beta" in ambiguous.err
    table.write_text("company,code,emial\nacme,MARI,x\n")
    wrong = bounced("users", "import", str(table))
    assert (wrong.exit, wrong.err.count("\n")) == (1, 1)
    assert "there is no column emial" in wrong.err
    assert bounced("companies", "show", "acme").out.count("MARI") == 1


def test_returned_reply_to_names_the_user(bounced, tmp_path):
    """A bounce whose returned message named a known user in Reply-To is tied to that user, marked as inferred."""
    bounced("users", "add", "MARI", "--company", "acme", "--email", "Mari@example.com")
    (tmp_path / "a.eml").write_bytes(
        b"Delivered-To: acme+x@event.data.directo.ee\n"
        + HOSTILE.replace(
            b"--b--",
            b"--b\nContent-Type: message/rfc822\n\n"
            b"From: acme@event.data.directo.ee\nReply-To: mari@example.com\nMessage-ID: <1@example.com>\n\nx\n--b--",
        )
    )
    (event,) = rows(bounced("replay", "--store", str(tmp_path / "a.eml"), "--format", "jsonl").out)
    assert (event["company"], event["user"], event["matched_by"]) == ("acme", "MARI", "reply-to")
    assert event["tried_ids"] == ["1@example.com"]


def test_classify(bounced, monkeypatch):
    """Reply texts from arguments and from standard input are answered one a line, with the rule that decided."""
    monkeypatch.setattr("sys.stdin", io.StringIO("550 5.1.1 no such user\n"))
    first, second = rows(bounced("classify", "552 5.2.2 mailbox full", "-", "--format", "jsonl").out)
    assert list(first) == ["text", "cause", "permanent", "status", "smtp_code", "rule"]
    assert (first["cause"], first["status"], first["smtp_code"]) == ("mailbox-full", "5.2.2", 552)
    assert (second["cause"], second["permanent"]) == ("user-unknown", True)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["poll"], "bounced run"),
        (["nonsense"], "No such command"),
        (["events", "--cause", "nonsense"], "expected one of"),
        (["events", "show", "nonsense"], "is no event id"),
        (["replay"], "Missing argument"),
        (["replay", "x", "--check", "--store"], "exclude each other"),
        (["stats", "--by", "weather"], "weather"),
        (["events", "--since", "yesterday"], "2026-11-23T04:35:31Z"),
        (["events", "--limit", "99999999999999999999"], "2147483647"),
    ],
)
def test_wrong_usage(bounced, arguments, expected):
    """Wrong usage ends with 2 and says what is expected."""
    result = bounced(*arguments)
    assert result.exit == 2
    assert expected in result.err


@pytest.mark.parametrize(
    ("content", "arguments", "expected"),
    [
        ("[pol]", ["events"], "bounced.toml: pol: there is no such key; did you mean poll?"),
        ('[database]\nurl = "sqlite:////proc/none/x.db"', ["events"], "cannot be made"),
        (
            '[database]\nurl = "postgresql+psycopg://u:hunter2@127.0.0.1:1/x"',
            ["events"],
            "database: 127.0.0.1:1/x: ",
        ),
        ("", ["run"], "no mailbox is configured"),
        ("", ["poll", "--once"], "no mailbox is configured"),
        ("", ["users", "import", "twice.csv"], "a user's code is given twice: MARI"),
        ("", ["replay", "none.eml"], "none.eml"),
        ("", ["events", "show", "01a206d6-aaca-7161-b278-88360bc63e30"], "there is no event"),
        ("", ["--config", "none.toml", "events"], "none.toml: cannot be read"),
        (
            '[[mailbox]]\nname = "a"\nhost = "h"\nusername = "u"\npassword = "env:NONE"',
            ["run"],
            "bounced.toml: mailbox a: password: the environment variable NONE is not set",
        ),
    ],
)
def test_failures_are_one_line(bounced, content, arguments, expected):
    """Each failure ends with 1 and one line that names what and where: no traceback, no secret."""
    Path("bounced.toml").write_text(content)
    Path("twice.csv").write_text("company,code\nacme,MARI\nACME,MARI\n")
    result = bounced(*arguments)
    assert result.exit == 1
    assert expected in result.err
    assert result.err.count("\n") == 1
    assert "hunter2" not in result.err


def test_check_without_any_server(bounced, monkeypatch):
    """What the service would not start with is said, whether a server answers or not."""
    assert "WRONG no mailbox is configured" in bounced("check").out
    Path("bounced.toml").write_text("""
[secrets]
keys = ["env:KEY"]
[microsoft365]
client_secret = "env:CLIENT_SECRET"
[[mailbox]]
name = "acme"
host = "127.0.0.1"
port = 1
username = "acme"
password = "env:PASSWORD"
""")
    result = bounced("check")
    assert result.exit == 1
    assert [line for line in result.out.splitlines() if line.startswith("WRONG")] == [
        "WRONG bounced.toml: keys: the environment variable KEY is not set",
        "WRONG bounced.toml: client_secret: the environment variable CLIENT_SECRET is not set",
        "WRONG bounced.toml: mailbox acme: password: the environment variable PASSWORD is not set",
    ]
    monkeypatch.setenv("KEY", "k")
    monkeypatch.setenv("CLIENT_SECRET", "s")
    monkeypatch.setenv("PASSWORD", "p")
    told = bounced("check").out
    assert "WRONG bounced.toml: keys: a key has at least 32 characters" in told
    assert "WRONG mailbox acme: 127.0.0.1:1: connect: connection refused" in told


@pytest.mark.parametrize("expected", ["[1]", "[null]", '{"kind": "bounce"}', "[" * 100_000])
def test_check_with_an_expectation_that_is_none(bounced, expected):
    """A NAME.json that holds no events is one line."""
    Path("a.eml").write_bytes(BOUNCE.read_bytes())
    Path("a.json").write_text(expected)
    result = bounced("replay", "--check", "a.eml")
    assert result.exit == 1
    assert "a.json" in result.out + result.err
    assert "unexpected" not in result.err


def test_demo_keeps_off_the_users_own_settings(monkeypatch):
    """The demo's daemon works in the demo's database."""
    monkeypatch.setenv("BOUNCED_DATABASE__URL", "postgresql+psycopg://production/bounced")
    assert "BOUNCED_DATABASE__URL" not in demo._environment()


def test_what_is_no_utf8_on_standard_input():
    """A log in another charset is read, too."""
    command = [sys.executable, "-m", "bounced", "classify", "-", "--format", "jsonl"]
    said = b"550 5.1.1 k\xfcll\n"
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}  # as in most locales
    result = subprocess.run(command, input=said, capture_output=True, env=environment, check=True)
    assert json.loads(result.stdout)["text"] == "550 5.1.1 k\ufffdll"


def test_an_id_is_never_cut_off(bounced, monkeypatch):
    """A line that does not fit a narrow terminal is as long as it must be: who reads it types the id."""
    bounced("replay", "--store", str(BOUNCE))
    (event,) = rows(bounced("events", "--format", "jsonl").out)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    told = bounced("events").out
    for key in ("id", "received_at", "cause", "recipient"):
        assert event[key] in told


@pytest.mark.parametrize("style", ["csv", "jsonl", "table"])
def test_a_progress_bar_leaves_the_rows_alone(style):
    """What is written to a file while the terminal shows how it goes is the same as without a terminal."""
    command = [sys.executable, "-m", "bounced", "replay", str(BOUNCE), "--format", style]
    expected = subprocess.run(command, check=True, capture_output=True).stdout
    ours, its = pty.openpty()
    try:
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=its, timeout=60).stdout
        shown = os.read(ours, 65536)
    finally:
        os.close(ours)
        os.close(its)
    assert found == expected
    assert b"replayed" in shown


@pytest.mark.parametrize("command", ["replay", "events"])
def test_closed_pipe_is_no_error_message(bounced, command):
    """`bounced ... | head` ends without a word."""
    bounced("replay", "--store", str(FIXTURES))
    arguments = f"replay {FIXTURES}" if command == "replay" else command
    command = f"{sys.executable} -m bounced {arguments} --format jsonl | head -n 1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert result.stdout.count("\n") == 1
    assert result.stderr == ""


@pytest.mark.parametrize("source", ["standard input", "letter.html"])
def test_a_letter_in_another_charset_is_not_sent(bounced, monkeypatch, source):
    """Better refused in one line than sent to customers with letters lost."""
    Path("bounced.toml").write_text("")
    Path("letter.html").write_bytes("Tere õhtust".encode("iso-8859-15"))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path("letter.html").read_bytes())))
    content = ("--text", "-") if source == "standard input" else ("--html", "letter.html")
    result = bounced(
        *("send", "--company", "acme", "--user", "MARI", "--subject", "x", "--to", "a@customer.example.com"), *content
    )
    assert (result.exit, result.out) == (1, "")
    assert result.err == f"bounced: {source}: it is not text in UTF-8\n"


@pytest.mark.parametrize(
    "command",
    ["users show {}", "events --recipient {}", "send --company acme --user {} --subject x --to a@example.com"],
)
def test_an_argument_in_another_charset(bounced, command):
    """What can be no name of anything in the database is told as that."""
    Path("bounced.toml").write_text("")
    bounced("companies", "add", "acme")
    result = bounced(*command.format(os.fsdecode("KÜLLI".encode("iso-8859-15"))).split())
    assert (result.exit, result.err) == (1, "bounced: an argument is not text in UTF-8\n")


@pytest.mark.parametrize("command", ["add", "remove"])
def test_an_address_that_is_none_on_a_suppression_list(bounced, command):
    """The error names it."""
    result = bounced("suppressions", command, "accounts", "--company", "acme")
    assert (result.exit, result.err) == (1, "bounced: accounts: there is no @ in it\n")


def test_a_suppression_list_that_is_switched_off(bounced):
    """Who puts an address on it by hand is told that it is written to all the same."""
    assert bounced("companies", "add", "acme").exit == 0
    added = bounced("suppressions", "add", "x@example.com", "--company", "acme")
    assert added.exit == 0
    assert "bounced companies set acme --suppress" in added.err
    assert bounced("companies", "set", "acme", "--suppress").exit == 0
    assert bounced("suppressions", "add", "y@example.com", "--company", "acme").err == ""
