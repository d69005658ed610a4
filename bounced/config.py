"""bounced.toml and the environment as typed models; every problem is reported at once.

Order: the file named by --config or BOUNCED_CONFIG, else ./bounced.toml, else /etc/bounced/bounced.toml, else the
defaults below.  A variable BOUNCED_TABLE__KEY overrides one key of one table.  Relative paths are relative to the
file's folder.  The descriptions of the fields are the documentation: docs/config.md is made from them.
"""

import glob
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from bounced.errors import ConfigError

SYSTEM_PATH = Path("/etc/bounced/bounced.toml")
PREFIX = "BOUNCED_"

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def _duration(value: object) -> timedelta:
    found = re.fullmatch(r"(\d{1,9})\s?([smhd])", value) if isinstance(value, str) else None
    if not found:
        raise ValueError('expected a number and a unit, such as "60s", "5m", "2h" or "90d"')
    return timedelta(seconds=int(found[1]) * UNITS[found[2]])


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
                return cls("move", folder)
        raise ValueError("expected keep, seen, move:FOLDER or delete")


class Table(BaseModel):
    """A table of bounced.toml: no other keys, no silent conversions, no values in errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Database(Table):
    """Where everything is kept."""

    url: str = Field(
        "sqlite:///var/bounced.db",
        repr=False,
        pattern=r"^(sqlite:///|postgresql\+psycopg://)",
        description="sqlite:///PATH, or postgresql+psycopg://USER@HOST/DATABASE.",
    )


class Poll(Table):
    """How mailboxes are polled."""

    interval: Duration = Field(
        timedelta(seconds=60),
        ge=timedelta(seconds=1),
        description='Time between two polls of one mailbox: "60s", "5m".',
    )
    max_message_size: Size = Field(
        5 * 2**20, ge=2**10, description="Of a bigger message only this much is fetched; it is never deleted."
    )


class OAuth(Table):
    """A token instead of a password: from a command, or from a refresh token."""

    token_command: str | None = Field(None, min_length=1, description="Command that prints an access token.")
    refresh_token: SecretRef | None = Field(
        None, description="file:PATH of the refresh token; a new one is kept there."
    )
    client_id: str | None = Field(None, min_length=1, description="The application's id at the token endpoint.")
    client_secret: SecretRef | None = Field(None, description="The application's secret, where it has one.")
    token_url: str | None = Field(None, pattern=r"^https://", description="The token endpoint, https only.")
    scope: str | None = Field(None, description="Scope asked for, where the endpoint wants one.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        by_refresh = (self.refresh_token, self.client_id, self.token_url)
        if self.token_command is None and None in by_refresh:
            raise ValueError("needs either token_command, or refresh_token, client_id and token_url")
        if self.token_command is not None and any((*by_refresh, self.client_secret, self.scope)):
            raise ValueError("token_command excludes the other keys")
        return self


class Mailbox(Table):
    """One IMAP folder that is polled."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$", description="What the mailbox is called here.")
    company: str | None = Field(
        None,
        pattern=r"^[^\s/@:]{1,64}$",
        description="Whose bounces come here; left out: taken from the address that the bounce came to.",
    )
    host: str = Field(pattern=r"^[^\s/@]{1,255}$", description="IMAP server.")
    port: int = Field(993, ge=1, le=65535, description="TCP port.")
    tls: Literal["implicit", "starttls", "none"] = Field("implicit", description="implicit, starttls or none.")
    ca_file: FilePath | None = Field(None, description="Authorities to trust instead of the system's, PEM.")
    username: str = Field(min_length=1, description="Login name.")
    password: SecretRef | None = Field(None, description="env:NAME, file:PATH or credential:NAME.")
    oauth: OAuth | None = Field(None, description="Instead of a password.")
    folder: str = Field("INBOX", min_length=1, description="Folder to poll.")
    after: Annotated[After, BeforeValidator(After.parse)] = Field(
        After("keep"),
        description="Once the events are stored: keep, seen, move:FOLDER or delete.",
    )
    interval: Duration | None = Field(None, ge=timedelta(seconds=1), description="Instead of the interval in [poll].")
    user: str | None = Field(
        None,
        pattern=r"^\S{1,64}$",
        description="Code of the user whose own mailbox this is: only recognised bounces are stored or touched.",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.password is None) == (self.oauth is None):
            raise ValueError("needs either password or oauth")
        if self.user is not None and self.company is None:
            raise ValueError("user needs company")
        if self.after.folder == self.folder:
            raise ValueError("after moves messages into the folder that is polled")
        return self


class Directo(Table):
    """Directo's own mail server and event addresses."""

    relay: str = Field("directo.gate.ee:25", description="host:port of Directo's mail server.")
    relay_address: str = Field("90.190.150.212", description="What SPF must permit; used in explanations.")
    event_domain: str = Field("event.data.directo.ee", description="Domain of the event addresses.")
    envelope: Literal["plain", "verp"] = Field(
        "plain", description="plain: COMPANY@event_domain; verp: COMPANY+TOKEN@event_domain."
    )


class Limit(Table):
    """What one mail server takes."""

    connections: int | None = Field(None, ge=1, description="Connections at a time.")
    per_minute: int | None = Field(None, ge=1, description="Messages a minute.")


class Send(Table):
    """How mail is sent."""

    retry_for: Duration = Field(timedelta(days=2), description="How long a temporary refusal is tried again.")
    allow_plaintext_login: bool = Field(False, description="Send passwords over unencrypted lines.")
    limits: dict[str, Limit] = Field(
        {
            "smtp.office365.com": Limit(connections=3, per_minute=30),
            "smtp.zone.ee": Limit(connections=None, per_minute=12),
        },
        description="By server.",
    )
    resolver: list[str] = Field([], description="Name servers; the system's where empty.")


class Secrets(Table):
    """Keys for passwords kept in the database and for the signature of tokens."""

    keys: list[SecretRef] = Field(
        [],
        description="The first encrypts and signs, all decrypt and verify.  Empty: one is made beside the SQLite file.",
    )


class Microsoft365(Table):
    """The application registered with Microsoft."""

    client_id: str | None = Field(None, description="Its application (client) id.")
    authority: str = Field(
        "https://login.microsoftonline.com/common", pattern=r"^https://", description="Its authority."
    )


class Retention(Table):
    """How long things are kept.  Counters are kept for ever."""

    raw: Duration = Field(timedelta(days=90), description="The messages as they came.")
    events: Duration = Field(timedelta(days=730), description="Events.")


class Log(Table):
    """The log, on standard error."""

    format: Literal["auto", "console", "json"] = Field("auto", description="auto: console on a terminal, else JSON.")


class Config(Table):
    """All of bounced.toml."""

    include: str | None = Field(None, min_length=1, description="Further files with [[mailbox]] tables, as a pattern.")
    database: Database = Database()
    poll: Poll = Poll()
    directo: Directo = Directo()
    send: Send = Send()
    secrets: Secrets = Secrets()
    microsoft365: Microsoft365 = Microsoft365()
    retention: Retention = Retention()
    log: Log = Log()
    mailbox: tuple[Mailbox, ...] = ()

    def read_secrets(self) -> None:
        """Reads every secret once, so that a missing one is known before the work begins.

        raises   ConfigError with one line for each that cannot be read
        """
        problems: list[str] = []
        for secret in self._secrets():
            try:
                secret.read()
            except ConfigError as error:
                problems.extend(error.problems)
        if problems:
            raise ConfigError(*problems)

    def _secrets(self) -> Iterator[Secret]:
        yield from self.secrets.keys
        for box in self.mailbox:
            oauth = box.oauth
            yield from filter(None, (box.password, oauth and oauth.refresh_token, oauth and oauth.client_secret))


def find() -> Path | None:
    """The file to read when none is named on the command line; None: the defaults hold.

    raises   ConfigError when BOUNCED_CONFIG is set but empty
    """
    named = os.environ.get("BOUNCED_CONFIG")
    if named is not None:
        if not named:
            raise ConfigError("BOUNCED_CONFIG is empty: unset it, or let it name a file")
        return Path(named)
    return next((path for path in (Path("bounced.toml"), SYSTEM_PATH) if path.exists()), None)


def load(path: Path | None = None, environment: Mapping[str, str] = os.environ) -> Config:
    """The configuration.

    path         the file; None: looked for (see `find`)
    environment  where BOUNCED_TABLE__KEY variables come from
    raises       ConfigError with all problems, each naming file, key and remedy
    """
    path = path or find()
    problems: list[str] = []
    content = _read(path) if path else {}
    folder = path.parent if path else Path()
    found = list(_mailboxes(content.pop("mailbox", []), path, problems))
    pattern = content.get("include")
    if isinstance(pattern, str) and pattern:
        for further in sorted(glob.glob(str(folder / pattern))):  # noqa: PTH207  the pattern may be absolute
            found.extend(_included(Path(further), problems))
    boxes = _distinct(found, problems)
    variables = _override(content, environment, problems)
    try:
        context = {"file": path or "environment", "folder": folder}
        config = Config.model_validate(content, context=context)
    except ValidationError as error:
        problems.extend(_lines(error, str(path or "environment"), Config, variables))
    if problems:
        raise ConfigError(*problems)
    return config.model_copy(update={"mailbox": tuple(boxes), "database": _beside(config.database, folder)})


def _beside(database: Database, folder: Path) -> Database:
    """A relative SQLite path counts from the file's folder, so that every command finds the same database."""
    prefix, path = database.url[:10], database.url[10:]
    if prefix != "sqlite:///" or path.startswith("/") or path == ":memory:":
        return database
    return Database(url=f"sqlite:///{(folder / path).absolute()}")


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from None


def _included(path: Path, problems: list[str]) -> Iterator[tuple[Path | None, Mailbox]]:
    try:
        content = _read(path)
    except ConfigError as error:
        problems.extend(error.problems)
        return
    boxes = content.pop("mailbox", [])
    problems.extend(f"{path}: {key}: only [[mailbox]] tables are read from an included file" for key in content)
    yield from _mailboxes(boxes, path, problems)


def _mailboxes(tables: object, path: Path | None, problems: list[str]) -> Iterator[tuple[Path | None, Mailbox]]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.append(f"{path}: mailbox: expected [[mailbox]] tables, with two brackets")
        return
    for number, table in enumerate(tables, 1):
        name = table.get("name")
        place = f"mailbox {name}" if isinstance(name, str) and name.isprintable() else f"mailbox number {number}"
        context = {"file": path, "place": place, "folder": path.parent if path else Path()}
        try:
            yield path, Mailbox.model_validate(table, context=context)
        except ValidationError as error:
            problems.extend(_lines(error, f"{path}: {place}", Mailbox))


def _distinct(boxes: list[tuple[Path | None, Mailbox]], problems: list[str]) -> list[Mailbox]:
    """Two mailboxes of one name would share a cursor; one folder polled twice would double every event."""
    names: dict[str, Path | None] = {}
    folders: dict[tuple[object, ...], str] = {}
    for path, box in boxes:
        if box.name in names:
            problems.append(f"{path}: mailbox {box.name}: the name is taken already, in {names[box.name]}")
            continue
        names[box.name] = path
        folder = (box.host.lower(), box.port, box.username, box.folder)
        if folder in folders:
            problems.append(f"{path}: mailbox {box.name}: polls the same folder as mailbox {folders[folder]}")
        folders[folder] = box.name
    return [box for _, box in boxes]


def _override(content: dict[str, Any], environment: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    """Puts BOUNCED_TABLE__KEY variables into `content`; returns which variable stands for which "table.key"."""
    variables: dict[str, str] = {}
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable == "BOUNCED_CONFIG":
            continue
        table, _, key = variable.removeprefix(PREFIX).lower().partition("__")
        model = Config.model_fields[table].annotation if table in Config.model_fields else None
        if not (isinstance(model, type) and issubclass(model, Table) and key in model.model_fields):
            problems.append(f"environment: {variable}: there is no such key; BOUNCED_TABLE__KEY names a key of a table")
            continue
        try:
            value = _from_text(model.model_fields[key].annotation, environment[variable])
        except ValueError as error:
            problems.append(f"environment: {variable}: {error}")
            continue
        if isinstance(values := content.setdefault(table, {}), dict):
            values[key] = value
            variables[f"{table}.{key}"] = variable
    return variables


def _from_text(kind: object, text: str) -> object:
    """A variable's text as TOML would give it, for a key of type `kind`.

    raises   ValueError for what is no truth value, list or table where one is expected
    """
    if kind is bool:
        if text not in ("true", "false"):
            raise ValueError("expected true or false")
        return text == "true"
    if text.lstrip()[:1] not in ("[", "{"):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        raise ValueError("is not a list or a table as TOML writes them") from None


def _lines(
    error: ValidationError, place: str, model: type[Table], variables: Mapping[str, str] | None = None
) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        location = [str(part) for part in problem["loc"]]
        variable = (variables or {}).get(".".join(location[:2]))
        where = f"environment: {variable}" if variable else ": ".join(filter(None, (place, ".".join(location))))
        if problem["type"] == "extra_forbidden":
            yield f"{where}: there is no such key{_meant(location, model)}"
        elif problem["type"] == "missing":
            yield f"{where}: is missing"
        else:
            yield f"{where}: {problem['msg'].removeprefix('Value error, ')}"


def _meant(location: list[str], model: type[Table]) -> str:
    for part in location[:-1]:
        inner = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, Table)):
            return ""
        model = inner
    close = get_close_matches(location[-1], [*model.model_fields, *(["mailbox"] if model is Config else [])], n=1)
    return f"; did you mean {close[0]}?" if close else ""
