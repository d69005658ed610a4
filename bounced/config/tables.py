"""bounced.toml as typed models.  The descriptions are the documentation: docs/config.md is made from them."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bounced.config.values import After, Duration, FilePath, FolderName, NameServer, Secret, SecretRef, Size
from bounced.errors import ConfigError


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
    folder: FolderName = Field("INBOX", description="Folder to poll.")
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

    def secrets(self) -> Iterator[Secret]:
        """What the login needs."""
        oauth = self.oauth
        yield from filter(None, (self.password, oauth and oauth.refresh_token, oauth and oauth.client_secret))

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
    ca_file: FilePath | None = Field(None, description="Authorities to trust besides the system's, PEM.")
    allow_plaintext_login: bool = Field(False, description="Send passwords over unencrypted lines.")
    limits: dict[str, Limit] = Field(
        {
            "smtp.office365.com": Limit(connections=3, per_minute=30),
            "smtp.zone.ee": Limit(connections=None, per_minute=12),
            "smtp.zone.eu": Limit(connections=None, per_minute=12),
        },
        description="By server; each daemon keeps to them for itself.",
    )
    resolver: list[Annotated[NameServer, BeforeValidator(NameServer.parse)]] = Field(
        [], description='Name servers, "192.0.2.1" or "192.0.2.1:5353"; the system\'s where empty.'
    )


class Secrets(Table):
    """Keys for passwords kept in the database and for the signature of tokens."""

    keys: list[SecretRef] = Field(
        [],
        description="The first encrypts and signs, all decrypt and verify.  Empty: one is made beside the SQLite file.",
    )


class Microsoft365(Table):
    """The application registered with Microsoft."""

    client_id: str | None = Field(None, description="Its application (client) id.")
    client_secret: SecretRef | None = Field(
        None, description="Its secret, with which it logs in as itself; users log in without one."
    )
    authority: str = Field(
        "https://login.microsoftonline.com/common", pattern=r"^https://", description="Its authority."
    )
    server: str = Field("smtp.office365.com:587", description="host:port; a national cloud has another one.")


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
        applications = filter(None, [self.microsoft365.client_secret])
        for secret in (*self.secrets.keys, *applications, *(one for box in self.mailbox for one in box.secrets())):
            try:
                secret.read()
            except ConfigError as error:
                problems.extend(error.problems)
        if problems:
            raise ConfigError(*problems)
