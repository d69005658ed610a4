"""The kinds of values in bounced.toml that TOML has no type for: time spans, sizes, paths, secrets, actions."""

import os
import re
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, ValidationInfo

from bounced.errors import ConfigError

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
LONGEST = 36_525 * UNITS["d"]  # a hundred years: a time so far off is still a date
NAME_SERVER = re.compile(
    r"(?:(?P<address>[\d.]{7,15})|\[(?P<ipv6>[0-9a-f:.]{2,45})\])(?::(?P<port>\d{1,5}))?|(?P<bare>[0-9a-f:.]{2,45})",
    re.I | re.ASCII,
)
BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def _duration(value: object) -> timedelta:
    found = re.fullmatch(r"(\d{1,9})\s?([smhd])", value) if isinstance(value, str) else None
    if not found:
        raise ValueError('expected a number and a unit, such as "60s", "5m", "2h" or "90d"')
    seconds = int(found[1]) * UNITS[found[2]]
    if seconds > LONGEST:
        raise ValueError(f'at most "{LONGEST // UNITS["d"]}d" is possible')
    return timedelta(seconds=seconds)


def _size(value: object) -> int:
    found = re.fullmatch(r"(\d{1,12})\s?([KMG]?i?B)", value) if isinstance(value, str) else None
    if not found or found[2] not in BYTES:
        raise ValueError('expected a number and a unit, such as "5MiB"')
    return int(found[1]) * BYTES[found[2]]


Duration = Annotated[timedelta, BeforeValidator(_duration)]
"""A time span, written "60s", "5m", "2h" or "90d"."""

Size = Annotated[int, BeforeValidator(_size)]
"""A number of bytes, written "5MiB", "500KB"."""


def _path(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError("expected a path")
    return _folder(info) / value


def _folder(info: ValidationInfo) -> Path:
    folder: Path = (info.context or {}).get("folder", Path())
    return folder


FilePath = Annotated[Path, BeforeValidator(_path)]


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is found: env:NAME, file:PATH or credential:NAME.  Never the secret itself."""

    reference: str
    where: str = field(default="", compare=False)  # file, table and key, for the error
    folder: Path = field(default=Path(), compare=False, repr=False)

    def path(self) -> Path | None:
        """The file that holds it, if it is in one.

        raises   ConfigError when systemd passed no credentials
        """
        scheme, _, name = self.reference.partition(":")
        if scheme == "file":
            return self.folder / name
        if scheme == "credential":
            directory = os.environ.get("CREDENTIALS_DIRECTORY")
            if not directory:
                raise ConfigError(
                    f"{self.where}: {self.reference} needs systemd's credentials directory; "
                    f"outside the service use env:NAME or file:PATH"
                )
            return Path(directory) / name
        return None

    def read(self) -> str:
        """The secret, without a trailing line end.

        raises   ConfigError, naming the place and the remedy, when it is missing, unreadable or empty
        """
        path = self.path()
        if path is None:
            name = self.reference.partition(":")[2]
            value = os.environ.get(name, "")
            if not value:
                raise ConfigError(f"{self.where}: the environment variable {name} is not set")
            try:
                value.encode()
            except UnicodeEncodeError:  # whose own text would show a piece of the secret
                raise ConfigError(f"{self.where}: the environment variable {name} is not UTF-8 text") from None
            return value
        try:
            value = path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ConfigError(f"{self.where}: cannot read {path}: {reason}") from None
        if not value:
            raise ConfigError(f"{self.where}: {path} is empty")
        return value


def _secret(value: object, info: ValidationInfo) -> Secret:
    if not isinstance(value, str) or not re.fullmatch(r"(env|file|credential):\S.*", value):
        raise ValueError("expected env:NAME, file:PATH or credential:NAME; a secret itself is never written here")
    context = info.context or {}
    place = (str(context.get("file", "")), str(context.get("place", "")), info.field_name or "")
    return Secret(value, where=": ".join(part for part in place if part), folder=_folder(info))


SecretRef = Annotated[Secret, BeforeValidator(_secret)]


def _folder_name(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError("expected a folder's name")
    return "INBOX" if value.upper() == "INBOX" else value


FolderName = Annotated[str, BeforeValidator(_folder_name)]
"""A mailbox folder.  INBOX is one folder in whatever case it is written (RFC 9051 §5.1)."""


@dataclass(frozen=True, slots=True)
class After:
    """What happens to a message in the mailbox once its events are committed."""

    kind: Literal["keep", "seen", "move", "delete"]
    folder: str | None = None  # for move

    def __str__(self) -> str:
        return f"move:{self.folder}" if self.folder else self.kind

    @classmethod
    def parse(cls, text: object) -> Self:
        """Reads keep, seen, move:FOLDER or delete.

        raises   ValueError for anything else
        """
        if isinstance(text, cls):
            return text
        kind, _, folder = text.partition(":") if isinstance(text, str) else ("", "", "")
        match kind, folder:
            case (("keep" | "seen" | "delete"), "") if text == kind:
                return cls(kind)
            case "move", folder if folder.strip() and folder.isprintable():
                return cls("move", _folder_name(folder))
        raise ValueError("expected keep, seen, move:FOLDER or delete")


@dataclass(frozen=True, slots=True)
class NameServer:
    """A DNS server."""

    address: str  # IPv4 or IPv6
    port: int = 53

    @classmethod
    def parse(cls, text: object) -> Self:
        """Reads ADDRESS, ADDRESS:PORT or [IPv6]:PORT.

        raises   ValueError for anything else
        """
        found = NAME_SERVER.fullmatch(text) if isinstance(text, str) else None
        if not found or not 1 <= int(found["port"] or 53) <= 65_535:
            raise ValueError(
                'expected an IP address, with or without a port, such as "192.0.2.1:53" or "[2001:db8::1]:53"'
            )
        return cls(str(ip_address(found["address"] or found["ipv6"] or found["bare"])), int(found["port"] or 53))
