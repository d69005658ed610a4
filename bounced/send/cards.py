"""The user cards in the database as the resolution of a sender config wants them."""

from dataclasses import replace

from sqlalchemy import Connection

from bounced.config import Config
from bounced.errors import InputError
from bounced.keys import Keyring
from bounced.send.sender import SenderConfig
from bounced.send.settings import SETTING, Card, resolve
from bounced.store import people
from bounced.store.people import Credential


def sender_config(connection: Connection, company: people.Company, user: people.User, config: Config) -> SenderConfig:
    """What the user's mail goes out with now.

    raises   SettingsError, ConfigError
    """
    sending, code = None, company.mail_sending_user_code
    if code is not None:
        sending = people.find_user(connection, company.id, code)
    resolved = resolve(
        _card(user),
        _card(sending) if sending else None,
        config.directo,
        company=company.name,
        allow_plaintext_login=config.send.allow_plaintext_login,
        microsoft365=config.microsoft365.server,
    )
    if code is None or sending is not None:
        return resolved
    warning = f"there is no user {code}, whom {SETTING} names: nothing is taken from that card"
    return replace(resolved, warnings=(*resolved.warnings, warning))


def owner_of_login(connection: Connection, company_id: int, sender: SenderConfig) -> int:
    """The row of the user whose credential the login needs.

    raises   InputError: that user is gone
    """
    code = sender.login.origin.card if sender.login else None
    user = people.find_user(connection, company_id, code) if code else None
    if user is None:
        raise InputError(f"there is no user {code} any more, whose login {sender.user} sends with")
    return user.id


def _card(user: people.User) -> Card:
    return Card(
        code=user.code,
        name=user.name,
        email=user.email,
        mail_sender=user.mail_sender,
        smtp_server=user.smtp_server,
        smtp_tls=user.smtp_tls,
        smtp_username=user.smtp_username,
        password=user.password_version,
        token=user.token_version,
    )


def secret(connection: Connection, keyring: Keyring, user_id: int, which: Credential) -> str:
    """What a card keeps, decrypted.

    raises   KeysError; InputError: there is nothing
    """
    encrypted = people.credential(connection, user_id, which)
    code = people.user_by_id(connection, user_id).code
    if encrypted is None:
        raise InputError(f"the user card of {code} has no {which} any more")
    what = f"the {which} on the user card of {code}"
    return keyring.decrypt(encrypted, context=_place(user_id, which), what=what)


def keep_secret(
    connection: Connection, keyring: Keyring, user_id: int, which: Credential, value: str | None, *, is_new: bool = True
) -> None:
    """Put a credential on a card, encrypted; None or "": take it off.  `is_new`: a person gave it."""
    encrypted = keyring.encrypt(value, context=_place(user_id, which)) if value else None
    people.set_credential(connection, user_id, which, encrypted, is_new=is_new)


def renew_secrets(connection: Connection, keyring: Keyring) -> int:
    """Encrypt what all cards keep with the first key; how much that is.

    raises   KeysError: that of one card cannot be decrypted
    """
    kept = people.credentials(connection)
    for user_id, which in kept:
        keep_secret(connection, keyring, user_id, which, secret(connection, keyring, user_id, which), is_new=False)
    return len(kept)


def _place(user_id: int, which: Credential) -> str:
    return f"the {which} of user card {user_id}"
