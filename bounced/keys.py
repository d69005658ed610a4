"""The keys of `[secrets]`: they encrypt passwords on user cards, and sign the tokens that bounces bring back.

The first key encrypts and signs, all of them decrypt and verify: a new one is put in front, and the old one goes once
`bounced users rotate` has been run and no message of its time can bounce any more.
Sources: RFC 5869 (HKDF), RFC 2104 (HMAC); Fernet, https://github.com/fernet/spec.
"""

import os
import secrets
import tempfile
from base64 import urlsafe_b64encode
from contextlib import suppress
from pathlib import Path
from typing import Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bounced.config import Config
from bounced.errors import BouncedError, ConfigError

SHORTEST = 32
"""Characters of a key: what is shorter can be guessed."""
SQLITE = "sqlite:///"


class KeysError(BouncedError):
    """Something was encrypted with a key that is not there any more, or was moved from where it belongs."""


class Keyring:
    """The keys, the first one first."""

    def __init__(self, keys: list[str]) -> None:
        """`keys`: at least one, of at least SHORTEST characters each."""
        self._fernet = MultiFernet([Fernet(urlsafe_b64encode(_derive(key, "encryption"))) for key in keys])
        self.signing = tuple(_derive(key, "signature") for key in keys)

    def __repr__(self) -> str:
        return f"<Keyring of {len(self.signing)}>"

    @classmethod
    def open(cls, config: Config) -> Self:
        """The configured keys; where there are none, the one beside the SQLite file, which is made at first use.

        raises   ConfigError: a key cannot be read or is too short, or there is none and no place to make one
        """
        found = [(key.where, key.read()) for key in config.secrets.keys] or [_beside(config.database.url)]
        for where, key in found:
            if len(key) < SHORTEST:
                raise ConfigError(
                    f"{where}: a key has at least {SHORTEST} characters: make one with `openssl rand -hex 32`"
                )
        return cls([key for _, key in found])

    @classmethod
    def find(cls, config: Config) -> Self | None:
        """The same; None where PostgreSQL has no key: then nothing can have been signed with one.

        raises   ConfigError
        """
        if not config.secrets.keys and not config.database.url.startswith(SQLITE):
            return None
        return cls.open(config)

    def encrypt(self, secret: str, *, context: str) -> bytes:
        """`secret` encrypted with the first key, bound to `context`: at another place it does not decrypt."""
        return self._fernet.encrypt(f"{context}\0{secret}".encode())

    def decrypt(self, encrypted: bytes, *, context: str, what: str | None = None) -> str:
        """What was encrypted.

        what     what it is, for the error, where the context tells a person nothing
        raises   KeysError
        """
        try:
            place, _, secret = self._fernet.decrypt(encrypted).decode().partition("\0")
        except InvalidToken:
            place = ""
        if place != context:
            raise KeysError(
                f"{what or context} cannot be decrypted: put the key that it was encrypted with back into "
                "[secrets] keys, or set it anew"
            )
        return secret


def _derive(key: str, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"bounced {purpose}".encode()).derive(key.encode())


def _beside(url: str) -> tuple[str, str]:
    if not url.startswith(SQLITE):
        raise ConfigError(
            "[secrets] keys: PostgreSQL needs one: make it with `openssl rand -hex 32`, "
            "and name it as file:PATH or credential:NAME"
        )
    database = Path(url.removeprefix(SQLITE))
    path = Path(f"{database}.key")
    try:
        if not path.exists():
            _check_owner(database)
            _make(path)
        return str(path), path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no key"
        raise ConfigError(f"[secrets] keys: {path}: {reason}") from None


def _check_owner(database: Path) -> None:
    """ConfigError where a key of ours would be one that the database's owner cannot read."""
    existing = next(path for path in (database.absolute(), *database.absolute().parents) if path.exists())
    whose = existing.stat().st_uid
    if whose != os.geteuid() and (os.geteuid() == 0 or not existing.is_dir()):
        raise ConfigError(f"[secrets] keys: {existing} belongs to another user: run this as that one")


def _make(path: Path) -> None:
    """Of several programs or threads at once, one makes it and all use that; once made, no power cut takes it back."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
