"""Servers as people write them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bounced.log import CONTROLS
from bounced.send.servers import PRESETS, Server, preset_of, read_server

WRITTEN = [
    ("smtp.example.com:587", "smtp.example.com", 587),
    (" SMTP.Example.COM:25 ", "smtp.example.com", 25),
    ("localhost:1", "localhost", 1),
    ("mail_out.example.com:65535", "mail_out.example.com", 65_535),
    ("192.0.2.1:25", "192.0.2.1", 25),
    ("[2001:DB8::1]:25", "2001:db8::1", 25),
    ("post.õun.example:465", "post.xn--un-bka.example", 465),
    ("gmail", "smtp.gmail.com", 465),
    ("Zone", "smtp.zone.ee", 465),
    ("smtp.zone.eu:465", "smtp.zone.eu", 465),
    ("office365", "smtp.office365.com", 587),
    ("office365:25", "smtp.office365.com", 25),
]

NOT_A_SERVER = [
    "", ":", "smtp.example.com", "smtp.example.com:", ":25", "smtp.example.com:0", "smtp.example.com:65536",
    "smtp.example.com:465x", "smtp.example.com:٤٦٥", "smtp.example.com:-1", "smtp.example.com: 25", "gmail:", "yahoo",
    "a b.example.com:25", "a..example.com:25", ".example.com:25", "example.com.:25", "-a.example.com:25", "a-:25",
    f"{'a' * 64}.example.com:25", f"{'a.' * 127}a:25", f"{'õ.' * 127}a:25", "2001:db8::1:25", "[2001:db8::g]:25",
    "[::1%x\x1b[31m]:25", "smtp://smtp.example.com:25", "user@smtp.example.com:25", "smtp.example.com:25/x",
    "a\n.example.com:25", "a\x00.example.com:25", "\ud800.example.com:25", "a\u202e.example.com:25",
]  # fmt: skip


@pytest.mark.parametrize(("text", "host", "port"), WRITTEN)
def test_what_is_a_server(text: str, host: str, port: int) -> None:
    """A name, an address or a preset, and a port."""
    assert read_server(text) == Server(host, port)


@pytest.mark.parametrize("text", NOT_A_SERVER)
def test_what_is_none(text: str) -> None:
    """Everything else is refused, whatever a resolver would make of it."""
    with pytest.raises(ValueError, match=r"expected host:port|name or address"):
        read_server(text)


def test_the_value_is_not_told() -> None:
    """A URL with a password in it, or a password in the wrong field, shows up in no error."""
    for text in ("smtp://mari:Tr0ub4dor@smtp.example.com:465", "Tr0ub4dor", "Tr0ub4dor!:25"):
        with pytest.raises(ValueError) as raised:
            read_server(text)
        assert "tr0ub4dor" not in repr(raised.value).lower()


@given(st.text(max_size=40) | st.from_regex(r"\A\[?[\w.:%-]{1,20}\]?:[0-9]{1,6}\Z"))
@example("gmail")
def test_a_server_can_be_written_and_read_again(text: str) -> None:
    """Whatever is taken is plain ASCII, may stand in a log, and reads as itself."""
    try:
        server = read_server(text)
    except ValueError:
        return
    assert server.host.isascii()
    assert not CONTROLS.search(server.host)
    assert read_server(str(server)) == server


def test_a_preset_is_known_by_its_servers() -> None:
    """However the provider is written, what is known about it counts."""
    assert preset_of(read_server("SMTP.office365.com:25")) is PRESETS["office365"]
    assert preset_of(read_server("smtp.zone.eu:465")) is PRESETS["zone"]
    assert preset_of(read_server("smtp.example.com:465")) is None
