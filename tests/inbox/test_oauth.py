"""bounced.inbox.oauth against a real https endpoint, and real commands."""

import errno
import json
import os
import ssl
import stat
import sys
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from imapclient import SocketTimeout

from bounced.config import Mailbox, OAuth
from bounced.errors import MailboxError
from bounced.inbox import oauth
from bounced.inbox.imap import Session
from bounced.inbox.oauth import TokenError, access_token
from tests.inbox.script import Script
from tests.servers.authority import Authority


class Endpoint:
    """A token endpoint: keeps the forms it was sent, and gives `answers` in turn, the last one again and again."""

    def __init__(self, authority: Authority) -> None:
        self.forms: list[dict[str, str]] = []
        self.answers: list[tuple[int, bytes]] = []
        self.released = threading.Event()
        self.released.set()
        self.ca_file = authority.ca_file
        certificate, key = authority.issue("127.0.0.1")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.handle_error = lambda *_: None  # a client that does not trust it
        self.url = f"https://127.0.0.1:{self._server.server_port}/token?tenant=x"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def gives(self, *answers: dict[str, object] | tuple[int, dict[str, object] | bytes]) -> None:
        """What it answers from now on: 200 and JSON, or another status, or other bytes."""
        pairs = [answer if isinstance(answer, tuple) else (200, answer) for answer in answers]
        self.answers = [(code, body if isinstance(body, bytes) else json.dumps(body).encode()) for code, body in pairs]

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/token?tenant=x"
                assert self.headers["Content-Type"] == "application/x-www-form-urlencoded"
                endpoint.forms.append(dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode())))
                endpoint.released.wait()
                status, body = endpoint.answers[0] if len(endpoint.answers) == 1 else endpoint.answers.pop(0)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", endpoint.url)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Keeps tokens off stderr."""

        return Handler


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    """A token endpoint that gives T0ken.1 for an hour."""
    server = Endpoint(Authority(tmp_path))
    server.gives({"access_token": "T0ken.1", "expires_in": 3600, "token_type": "Bearer"})
    yield server
    server.close()


@pytest.fixture
def config(endpoint: Endpoint, tmp_path: Path) -> Callable[..., OAuth]:
    """Makes the configuration; the refresh token lies in a file."""
    (tmp_path / "refresh").write_text("R3fresh.1\n")

    def make(**changes: object) -> OAuth:
        table = {"refresh_token": f"file:{tmp_path}/refresh", "client_id": "app", "token_url": endpoint.url, **changes}
        return OAuth.model_validate(table)

    return make


def failure(config: OAuth, ca_file: Path | None = None) -> TokenError:
    """What goes wrong: one line without a secret."""
    with pytest.raises(TokenError) as caught:
        access_token(config, ca_file=ca_file)
    assert str(caught.value).isprintable()
    assert "R3fresh" not in str(caught.value)
    assert "S3cret" not in str(caught.value)
    return caught.value


# The endpoint


def test_a_token_for_a_refresh_token(endpoint, config, monkeypatch):
    """The endpoint is sent the form of RFC 6749 §6, and its token comes back."""
    monkeypatch.setenv("CLIENT_SECRET", "S3cret&=")
    box = config(client_secret="env:CLIENT_SECRET", scope="https://mail.example.com/ offline_access")
    assert access_token(box, ca_file=endpoint.ca_file) == "T0ken.1"
    assert endpoint.forms == [
        {
            "grant_type": "refresh_token",
            "refresh_token": "R3fresh.1",
            "client_id": "app",
            "client_secret": "S3cret&=",
            "scope": "https://mail.example.com/ offline_access",
        }
    ]


def test_a_token_is_kept(endpoint, config):
    """One token serves all polls until shortly before its end, or until it is refused."""
    endpoint.gives({"access_token": "T0ken.1", "expires_in": 3600}, {"access_token": "T0ken.2", "expires_in": 3600})
    assert [access_token(config(), ca_file=endpoint.ca_file) for _ in range(3)] == ["T0ken.1"] * 3
    assert len(endpoint.forms) == 1
    assert access_token(config(), ca_file=endpoint.ca_file, fresh=True) == "T0ken.2"
    assert access_token(config(), ca_file=endpoint.ca_file) == "T0ken.2"


def test_equal_settings_in_two_folders(endpoint, tmp_path):
    """A relative path means another file, and another account, in each configuration file's folder."""
    table = {"refresh_token": "file:refresh", "client_id": "app", "token_url": endpoint.url}
    endpoint.gives(*({"access_token": f"T0ken.{number}", "expires_in": 3600} for number in (1, 2)))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "refresh").write_text(f"R3fresh.{name}")
    boxes = [OAuth.model_validate(table, context={"folder": tmp_path / name}) for name in ("one", "two")]
    assert [access_token(box, ca_file=endpoint.ca_file) for box in boxes] == ["T0ken.1", "T0ken.2"]
    assert [form["refresh_token"] for form in endpoint.forms] == ["R3fresh.one", "R3fresh.two"]


@pytest.mark.parametrize("expires", [{}, {"expires_in": 60}, {"expires_in": "soon"}, {"expires_in": None}])
def test_a_token_about_to_end_is_renewed(endpoint, config, expires):
    """A token that ends within two minutes, or does not say when, is asked for each time."""
    endpoint.gives({"access_token": "T0ken.1", **expires})
    assert access_token(config(), ca_file=endpoint.ca_file) == "T0ken.1"
    assert access_token(config(), ca_file=endpoint.ca_file) == "T0ken.1"
    assert len(endpoint.forms) == 2


def test_a_new_refresh_token_is_kept(endpoint, config, tmp_path):
    """It replaces the file's content, for our eyes only, and is used from then on; a link to the file stays one."""
    (tmp_path / "refresh").rename(tmp_path / "real")
    (tmp_path / "refresh").symlink_to(tmp_path / "real")
    endpoint.gives({"access_token": "T0ken.1", "refresh_token": "R3fresh.2"})
    access_token(config(), ca_file=endpoint.ca_file)
    access_token(config(), ca_file=endpoint.ca_file)
    assert [form["refresh_token"] for form in endpoint.forms] == ["R3fresh.1", "R3fresh.2"]
    assert (tmp_path / "real").read_text() == "R3fresh.2\n"
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o600
    assert (tmp_path / "refresh").is_symlink()
    assert not list(tmp_path.glob(".real.*"))


def test_a_new_refresh_token_that_cannot_be_kept(endpoint, config, tmp_path, monkeypatch):
    """That is told at once, and it is kept as soon as that is possible: the old one may be worth nothing by now."""
    endpoint.gives({"access_token": "T0ken.1", "expires_in": 3600, "refresh_token": "R3fresh.2"})

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        assert "No space left" in str(failure(config(), endpoint.ca_file))
        assert (tmp_path / "refresh").read_text() == "R3fresh.1\n"
        assert not list(tmp_path.glob(".refresh.*"))
        failure(config(), endpoint.ca_file)
    assert access_token(config(), ca_file=endpoint.ca_file) == "T0ken.1"
    assert (tmp_path / "refresh").read_text() == "R3fresh.2\n"
    assert len(endpoint.forms) == 1


def test_a_new_refresh_token_with_no_file_for_it(endpoint, config, monkeypatch):
    """A refresh token in the environment cannot be replaced: a person must act."""
    monkeypatch.setenv("REFRESH", "R3fresh.1")
    endpoint.gives({"access_token": "T0ken.1", "refresh_token": "R3fresh.2"})
    error = failure(config(refresh_token="env:REFRESH"), endpoint.ca_file)
    assert "only file:PATH can keep" in str(error)
    assert not error.retry


@pytest.mark.parametrize(
    ("status", "body", "words", "retry"),
    [
        (
            400,
            {"error": "invalid_grant", "error_description": "expired: R3fresh.1\r\nlog in"},
            "invalid_grant: expired: ***",
            False,
        ),
        (400, {"error": "temporarily_unavailable"}, "temporarily_unavailable", True),
        (401, {"error": ["odd"]}, "HTTP status 401", False),
        (429, b"slow down", "HTTP status 429", True),
        (503, b"<html>", "HTTP status 503", True),
        (302, b"", "HTTP status 302", False),
        (200, b"<html>", "gave no token", True),
        (200, b"[" * 60_000, "gave no token", True),
        (200, {"access_token": "two words"}, "gave no token", True),
        (200, {"access_token": "T0ken\r\n"}, "gave no token", True),
        (200, {"access_token": 7}, "gave no token", True),
        (200, b'{"access_token": "T0ken", "filling": "' + b"x" * 200_000 + b'"}', "gave no token", True),
    ],
)
def test_refusals(endpoint, config, status, body, words, retry):
    """What the endpoint says is told in one line; no redirect is followed; only so much is read."""
    endpoint.gives((status, body))
    error = failure(config(), endpoint.ca_file)
    assert words in str(error)
    assert error.retry is retry
    assert len(endpoint.forms) == 1


def test_an_endpoint_that_is_not_trusted(endpoint, config):
    """The refresh token is not sent to a server whose certificate nobody vouches for."""
    error = failure(config())
    assert "certificate is not trusted" in str(error)
    assert not error.retry
    assert endpoint.forms == []


def test_an_endpoint_that_hangs(endpoint, config, monkeypatch):
    """It is not waited for longer than the limit."""
    monkeypatch.setattr(oauth, "TIMEOUT", 0.3)
    endpoint.released.clear()
    error = failure(config(), endpoint.ca_file)
    assert "no answer in time" in str(error)
    assert error.retry


# The command


def command(code: str) -> OAuth:
    """A token_command that runs a line of Python."""
    return OAuth(token_command=f"{sys.executable} -c '{code}'")


def test_a_command(monkeypatch):
    """The first line of its output is the token; no shell reads the command."""
    assert access_token(command('print("T0ken.1"); print("more")')) == "T0ken.1"
    assert access_token(OAuth(token_command="echo $HOME;`id`")) == "$HOME;`id`"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ('import sys; sys.exit("S3cret")', "ended with status 1"),
        ("", "gave no token"),
        ("print()", "gave no token"),
        ('print("\\x1b[2J")', "gave no token"),
        ('print("two words")', "gave no token"),
    ],
)
def test_commands_that_fail(code, words):
    """A command that gives no token says so, without its own output."""
    error = failure(command(code))
    assert words in str(error)
    assert error.retry


@pytest.mark.parametrize("line", ["/nonexistent/command", "echo 'unbalanced"])
def test_commands_that_cannot_be_run(line):
    """A command that cannot be run needs a person."""
    error = failure(OAuth(token_command=line))
    assert "cannot be run" in str(error)
    assert not error.retry


def test_a_command_that_hangs(monkeypatch):
    """It is not waited for longer than the limit."""
    monkeypatch.setattr(oauth, "TIMEOUT", 0.3)
    assert "not done after 0.3 s" in str(failure(OAuth(token_command="sleep 5")))


# The mailbox


@pytest.mark.parametrize(("known", "works"), [(b"T0ken.2", True), (b"T0ken.3", False)])
def test_a_refused_token_is_renewed_once(endpoint, config, known, works):
    """A token that the mailbox does not take any more is renewed, and tried again on the same connection; once."""
    endpoint.gives(*({"access_token": f"T0ken.{number}", "expires_in": 3600} for number in (1, 2, 3)))
    capability = b"* CAPABILITY IMAP4rev1 AUTH=XOAUTH2\r\nTAG OK done\r\n"
    replies = {"CAPABILITY": capability, "AUTHENTICATE": b"+ \r\n"}
    server = Script(replies)
    server.replies["AUTHENTICATE +"] = lambda line: b"TAG OK in\r\n" if known in decoded(line) else b"TAG NO wrong\r\n"
    table = {"name": "acme", "host": "127.0.0.1", "port": server.port, "tls": "none", "username": "acme"}
    box = Mailbox.model_validate({**table, "oauth": {"token_command": "unused"}}).model_copy(update={"oauth": config()})
    box = box.model_copy(update={"ca_file": endpoint.ca_file})
    session = Session(box, max_message_size=1000, timeouts=SocketTimeout(15, 15))
    if works:
        with session:
            pass
    else:
        with pytest.raises(MailboxError, match="login as acme: wrong"), session:
            pass
    server.close()
    assert len(endpoint.forms) == 2
    assert server.connections == 1


def decoded(line: bytes) -> bytes:
    """What a SASL message says."""
    return b64decode(line)
