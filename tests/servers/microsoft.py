"""A stand-in for Microsoft's login: discovery, device code, refresh tokens, an application's own login; over https.

It gives only what was asked for rightly, as RFC 6749, RFC 8628 and Microsoft's pages have it.
"""

import json
import ssl
import time
from base64 import urlsafe_b64encode
from collections.abc import MutableMapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import parse_qsl

from tests.servers.authority import Authority

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
USER_SCOPE = "https://outlook.office365.com/SMTP.Send"
CLIENT_SCOPE = "https://outlook.office365.com/.default"
CLIENT_ID, CLIENT_SECRET = "5e5510n5-app", "S3cret~of.the&application"
TENANT = "contoso.example"

Answer = tuple[int, dict[str, object] | bytes]


class MicrosoftLogin:
    """One tenant with one application."""

    def __init__(self, authority: Authority, tokens: MutableMapping[str, str] | None = None) -> None:
        """`tokens`: where every access token that is given goes, with whose it is: what introspection knows."""
        self.tokens = {} if tokens is None else tokens
        self.forms: list[dict[str, str]] = []  # that were posted, with the place as "path"
        self.gets: list[str] = []
        self.next: list[Answer] = []  # answers to the next POSTs, in place of the right ones
        self.discovery: Answer | None = None  # in place of the right one
        self.interval, self.patience = 1, 900  # seconds between two questions, and for a person to enter a code
        self.lifetime = 3600  # seconds of an access token
        self.rotates = True  # whether a refresh token comes with each renewal
        self._lock = Lock()
        self._number = 0
        self._devices: dict[str, tuple[str, str | None]] = {}  # device code: user code, who has entered it
        self._refresh: dict[str, str] = {}  # refresh token: whose
        certificate, key = authority.issue("127.0.0.1")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.handle_error = lambda *_: None  # a client that does not trust it
        self.root = f"https://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.root}/{TENANT}"
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def enter(self, user_code: str, account: str) -> None:
        """The person with that account enters a code, and agrees."""
        with self._lock:
            device = next(device for device, (code, _) in self._devices.items() if code == user_code)
            self._devices[device] = user_code, account

    def revoke(self) -> None:
        """Forget all logins."""
        with self._lock:
            self._refresh.clear()

    def secrets(self) -> set[str]:
        """All that nobody may ever see in a log."""
        codes = {code for device, (code, _) in self._devices.items()}
        return {CLIENT_SECRET, *self.tokens, *self._refresh, *self._devices, *codes}

    def _get(self, path: str) -> Answer:
        self.gets.append(path)
        if path != f"/{TENANT}/v2.0/.well-known/openid-configuration":
            return _refused("invalid_tenant", f"AADSTS90002: Tenant {path.split('/')[1]!r} not found.")
        return self.discovery or (
            200,
            {
                "issuer": f"{self.url}/v2.0",
                "authorization_endpoint": f"{self.url}/oauth2/v2.0/authorize",
                "token_endpoint": f"{self.url}/oauth2/v2.0/token",
                "device_authorization_endpoint": f"{self.url}/oauth2/v2.0/devicecode",
            },
        )

    def _post(self, path: str, form: dict[str, str]) -> Answer:
        self.forms.append(form | {"path": path})
        if self.next:
            return self.next.pop(0)
        if form.get("client_id") != CLIENT_ID:
            return _refused("unauthorized_client", "AADSTS700016: Application was not found in the directory.")
        scopes = form.get("scope", "").split()
        match path.removeprefix(f"/{TENANT}/oauth2/v2.0/"), form.get("grant_type"):
            case "devicecode", None if USER_SCOPE in scopes and "offline_access" in scopes:
                return self._device()
            case "token", "urn:ietf:params:oauth:grant-type:device_code":
                return self._entered(form["device_code"])
            case "token", "refresh_token" if USER_SCOPE in scopes:
                account = self._refresh.get(form["refresh_token"])
                if account is None:
                    what = "AADSTS700082: The refresh token has expired due to inactivity.\r\nTrace ID: 5f00\r\n"
                    return _refused("invalid_grant", what)
                return self._given(account, with_refresh=self.rotates)
            case "token", "client_credentials" if scopes == [CLIENT_SCOPE]:
                if form.get("client_secret") != CLIENT_SECRET:
                    return _refused("invalid_client", "AADSTS7000215: Invalid client secret provided.")
                return self._given(None, with_refresh=False)
        return _refused("invalid_request", f"AADSTS900144: {path} was asked for something else.")

    def _device(self) -> Answer:
        self._number += 1
        device, code = f"d3vice.{self._number}.code", f"C0DE{self._number:05}"
        self._devices[device] = code, None
        return 200, {
            "device_code": device,
            "user_code": code,
            "verification_uri": "https://login.example.com/device",
            "expires_in": self.patience,
            "interval": self.interval,
            "message": f"To sign in, use a web browser to open the page and enter the code {code}.",
        }

    def _entered(self, device: str) -> Answer:
        account = self._devices[device][1]
        if account is None:
            return _refused("authorization_pending", "AADSTS70016: OAuth 2.0 device flow error. Try again later.")
        return self._given(account, with_refresh=True)

    def _given(self, account: str | None, *, with_refresh: bool) -> Answer:
        self._number += 1
        answer: dict[str, object] = {
            "token_type": "Bearer",
            "scope": USER_SCOPE if account else CLIENT_SCOPE,
            "expires_in": self.lifetime,
            "ext_expires_in": self.lifetime,
            "access_token": f"acc3ss.{self._number}.token",
        }
        self.tokens[str(answer["access_token"])] = account or ""
        if account:
            now = int(time.time())
            claims = {"iss": f"{self.url}/v2.0", "aud": CLIENT_ID, "sub": account, "iat": now, "exp": now + 3600}
            claims |= {"oid": account, "preferred_username": account}
            answer["id_token"] = f"{_encoded({'alg': 'none'})}.{_encoded(claims)}."
            answer["client_info"] = _encoded({"uid": account, "utid": TENANT})
        if account and with_refresh:
            answer["refresh_token"] = f"r3fresh.{self._number}.token"
            self._refresh[str(answer["refresh_token"])] = account
        return 200, answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        login = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with login._lock:
                    self._answer(*login._get(self.path))

            def do_POST(self) -> None:
                form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                with login._lock:
                    self._answer(*login._post(self.path, form))

            def _answer(self, status: int, body: dict[str, object] | bytes) -> None:
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                if status == 0:  # not even HTTP
                    self.wfile.write(content)
                    return
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", content.decode())
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Keep tokens and noise off stderr."""

        return Handler


def _refused(error: str, description: str) -> Answer:
    return 400, {"error": error, "error_description": description, "trace_id": "5f00", "correlation_id": "5f01"}


def _encoded(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
