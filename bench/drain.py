"""Drains 20,000 bounces from a real Dovecot with `bounced poll --once`, beside fetching them with plain imaplib.

The mails are the fixtures that real servers wrote, filled up to 5 KB, each with ids and an address of its own.
"""

import imaplib
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.servers.authority import Authority
from tests.servers.dovecot import Dovecot
from tests.servers.folders import session_folder

MESSAGES = 20_000
SIZE = 5_000
BATCH = 500  # messages in one FETCH of imaplib
FIXTURES = Path(__file__).parents[1] / "fixtures/dsn"

CONFIG = """
[database]
url = "sqlite:///bounced.db"
[[mailbox]]
name = "acme"
company = "acme"
host = "127.0.0.1"
port = {port}
ca_file = "{ca_file}"
username = "acme"
password = "env:PASSWORD"
"""


SENDING = (
    ("users", "add", "MARI", "--company", "acme", "--email", "mari@acme.example.com"),
    ("send", "--company", "acme", "--user", "MARI", "--to", "a@example.org", "--subject", "x", "--text", "y"),
)


def bounces(count: int) -> Iterator[bytes]:
    """Bounces as real servers write them, no two the same."""
    seeds = [path.read_bytes() for path in sorted(FIXTURES.glob("*.eml")) if path.stat().st_size < SIZE]
    assert seeds, "the fixtures are gone"
    for number in range(count):
        raw = seeds[number % len(seeds)].replace(b"Message-Id: <", b"Message-Id: <%d." % number)
        head, _, body = raw.partition(b"\n\n")
        filling = b"X-Filling: " + b"x" * 900 + b"\n"
        head += b"\nX-Number: %d\n" % number + filling * ((SIZE - len(raw)) // len(filling))
        yield head.rstrip(b"\n") + b"\n\n" + body


def fetch_all(dovecot: Dovecot) -> float:
    """Fetches every message with imaplib and throws it away; returns seconds."""
    context = ssl.create_default_context(cafile=str(dovecot.ca_file))
    started = time.perf_counter()
    with imaplib.IMAP4_SSL("127.0.0.1", dovecot.tls_port, ssl_context=context) as client:
        client.login("acme", dovecot.password)
        client.select("INBOX", readonly=True)
        fetched = 0
        for first in range(1, MESSAGES + 1, BATCH):
            _, data = client.uid("FETCH", f"{first}:{first + BATCH - 1}", "(BODY.PEEK[])")
            fetched += sum(isinstance(item, tuple) for item in data)
    assert fetched == MESSAGES, fetched
    return time.perf_counter() - started


def drain(dovecot: Dovecot, folder: Path, *, sends: bool) -> tuple[float, float]:
    """Runs `bounced poll --once`; returns seconds, and MB of memory at the peak.

    sends   whether the company has sent through here, too: then each bounce is looked for among what it sent
    """
    folder.mkdir()
    config = folder / "bounced.toml"
    config.write_text(CONFIG.format(port=dovecot.tls_port, ca_file=dovecot.ca_file))
    bounced = [sys.executable, "-m", "bounced", "--config", str(config)]
    for arguments in SENDING if sends else ():
        subprocess.run([*bounced, *arguments], check=True, stdout=subprocess.DEVNULL)
    command = [*bounced, "poll", "--once"]
    started = time.perf_counter()
    process = subprocess.Popen(
        command, env=os.environ | {"PASSWORD": dovecot.password}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    assert status == 0, status
    assert f"acme: {MESSAGES} messages" in output, output
    return seconds, usage.ru_maxrss / 1024


def main() -> None:
    """Prints the rates, their ratio and the peak of memory."""
    with session_folder() as folder:
        dovecot = Dovecot(folder / "dovecot", Authority(folder))
        dovecot.start()
        try:
            dovecot.deliver("acme", *bounces(MESSAGES))
            warm = fetch_all(dovecot)  # the first fetch also lets Dovecot read and index the mail
            plain = fetch_all(dovecot)
            seconds, peak = drain(dovecot, folder / "polls", sends=False)
            searching, _ = drain(dovecot, folder / "sends", sends=True)
        finally:
            dovecot.stop()
    print(f"imaplib, fetched and thrown away: {MESSAGES / plain:8.0f} messages/s (first time {MESSAGES / warm:.0f})")
    print(f"bounced poll --once:              {MESSAGES / seconds:8.0f} messages/s, at most {peak:.0f} MB of memory")
    print(f"the same of a company that sends: {MESSAGES / searching:8.0f} messages/s")
    print(f"ratio: {plain / seconds:.2f}")
