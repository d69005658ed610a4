"""A mail server as a person writes it: host:port, or the name of a well-known provider.  No network."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address

import idna

MAX_HOST = 253  # characters of a host's name in ASCII (RFC 1035 §2.3.4, without the length octets)
MAX_PORT = 65_535
IMPLICIT_TLS = 465  # RFC 8314 §3.3

HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*")
IPV6 = re.compile(r"\[[0-9a-f:.]{2,45}\]")  # without a zone, which is any text
PORT = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class Server:
    """Where to connect: a name in ASCII and lower case, or an IP address, and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A provider whose servers are known.  They take nothing without a login."""

    hosts: tuple[str, ...]  # the provider's name stands for the first
    port: int  # where none is written
    password: str  # what it wants as one
    warning: str | None = None  # said where a password is sent to it


PRESETS: Mapping[str, Preset] = {
    "gmail": Preset(
        hosts=("smtp.gmail.com",),
        port=465,
        password="an app password of the Google account",  # noqa: S106  its name
    ),
    "office365": Preset(
        hosts=("smtp.office365.com",),
        port=587,  # it takes 25 as well
        password="the password of the Microsoft 365 account",  # noqa: S106  its name
        warning="Microsoft is switching off logins with a password at smtp.office365.com; "
        "choose Microsoft 365 OAUTH in the list Mail Sender",
    ),
    "zone": Preset(
        hosts=("smtp.zone.ee", "smtp.zone.eu"),
        port=465,
        password="the mailbox's password",  # noqa: S106  its name
    ),
}
"""What may be written instead of a host's name."""


def read_server(text: str) -> Server:
    """The server that `text` names.

    text     host:port, [IPv6]:port, or the name of a preset, with or without a port; any length
    raises   ValueError, saying what was expected; not what came, which might be a URL with a password in it
    """
    host, colon, port = text.strip().lower().rpartition(":")
    if not colon:
        host, port = port, ""
    if preset := PRESETS.get(host):
        host, port = preset.hosts[0], port if colon else str(preset.port)
    if not PORT.fullmatch(port) or not 1 <= int(port) <= MAX_PORT:
        raise ValueError(f"expected host:port, such as smtp.example.com:587, or one of {', '.join(PRESETS)}")
    return Server(_host(host), int(port))


def preset_of(server: Server) -> Preset | None:
    """The provider that the server belongs to, however it was written."""
    return next((preset for preset in PRESETS.values() if server.host in preset.hosts), None)


def _host(text: str) -> str:
    try:
        if IPV6.fullmatch(text):
            address = IPv6Address(text[1:-1])
            return str(address.ipv4_mapped or address)  # one server has one name: limits and mass mail go by it
        if len(text) <= MAX_HOST:
            name = text if text.isascii() else idna.encode(text, uts46=True).decode("ascii")
            if len(name) <= MAX_HOST and HOST.fullmatch(name):
                return name
    except (AddressValueError, UnicodeError):  # idna's error is one of the latter
        pass
    raise ValueError("the part before the port is not the name or address of a server")
