"""The log's own promises."""

import json
import logging

import pytest
import structlog

from bounced import log as logs


@pytest.fixture(autouse=True)
def reset():
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers.clear()


def test_json_in_a_pipe(capsys):
    """Each line is one JSON object with level, time and the facts."""
    logs.configure("auto")
    with structlog.contextvars.bound_contextvars(mailbox="acme"):
        logs.get("bounced.test").info("polled", mails=3)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["mailbox"], line["mails"]) == ("polled", "info", "acme", 3)
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("style", ["json", "console"])
def test_text_from_mail_cannot_fake_a_line(capsys, style):
    """Control characters in a fact neither end the line nor steer the terminal."""
    logs.configure(style)
    logs.get("bounced.test").warning("odd", text="a\nb\x1b[31m\x9b1m\u2028c")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "\x1b" not in said
    assert "\x9b" not in said


def test_traceback_shows_no_local_variables(capsys):
    """A password in a local variable stays out of the traceback."""
    logs.configure("console")
    password = "hunter" + "2"
    try:
        raise ValueError("boom")
    except ValueError:
        logs.get("bounced.test").exception("failed")
    said = capsys.readouterr().err
    assert "ValueError: boom" in said
    assert password not in said


def test_libraries_come_out_alike(capsys):
    """A library's warning is JSON, too; its information is not heard."""
    logs.configure("json")
    logging.getLogger("alembic").info("not heard")
    logging.getLogger("alembic").warning("heard %s", 1)
    assert json.loads(capsys.readouterr().err)["event"] == "heard 1"
