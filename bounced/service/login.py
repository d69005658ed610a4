"""Opens sessions, with the password or the token at Microsoft 365 that a card has.

What is renewed there is kept on the card, encrypted.  It takes requests over the network: never within a transaction.
"""

from typing import NamedTuple

from bounced.config import Config
from bounced.keys import Keyring
from bounced.send import cards
from bounced.send.auth import Password, Token
from bounced.send.failure import LoginError
from bounced.send.microsoft import Application
from bounced.send.smtp import Session
from bounced.store.engine import Store
from bounced.store.people import Credential


class Account(NamedTuple):
    """A login; the secret itself stays on the card until it is used."""

    user_id: int  # row of the card that it is on
    username: str
    which: Credential
    version: int  # of the secret


def open_session(session: Session, account: Account | None, store: Store, config: Config, keyring: Keyring) -> None:
    """Connects and logs in.  A token in hand that is refused is renewed once.

    account  None: no login is needed
    raises   TransportError, TokenError among them; ConfigError, StoreError; InputError: the login is gone; KeysError:
             it cannot be decrypted
    """
    if account is None:
        session.open()
        return
    if account.which is Credential.PASSWORD:
        with store.reading() as connection:
            password = cards.secret(connection, keyring, account.user_id, Credential.PASSWORD)
        session.log_in_as(Password(username=account.username, password=password))
        session.open()
        return
    try:
        session.log_in_as(_token(account, store, config, keyring, fresh=False))
        session.open()
    except LoginError:
        session.log_in_as(_token(account, store, config, keyring, fresh=True))
        session.open()


def _token(account: Account, store: Store, config: Config, keyring: Keyring, *, fresh: bool) -> Token:
    application = Application(config.microsoft365, config.send.ca_file)
    with store.reading() as connection:
        cache = cards.secret(connection, keyring, account.user_id, Credential.TOKEN)
    held = None if fresh else application.held(cache)
    if held is None:
        grant = application.renew(cache)
        held = grant.access_token
        with store.writing() as connection:
            # not where another one has renewed it meanwhile, or a person has logged in anew
            if cards.secret(connection, keyring, account.user_id, Credential.TOKEN) == cache:
                cards.keep_secret(connection, keyring, account.user_id, Credential.TOKEN, grant.cache, is_new=False)
    return Token(username=account.username, access_token=held)
