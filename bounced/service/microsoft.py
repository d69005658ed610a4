"""The access token that a user's card has at Microsoft 365; what is renewed is kept on the card, encrypted."""

from bounced.config import Config
from bounced.keys import Keyring
from bounced.send import cards
from bounced.send.auth import Token
from bounced.send.microsoft import Application
from bounced.store.engine import Store
from bounced.store.people import Credential


def log_in(store: Store, config: Config, keyring: Keyring, user_id: int, username: str, *, fresh: bool) -> Token:
    """What to log in with.

    user_id  whose card the login at Microsoft is on
    fresh    the token in hand was refused
    raises   TokenError; ConfigError, KeysError, InputError; StoreError
    """
    application = Application(config.microsoft365, config.send.ca_file)
    with store.reading() as connection:
        cache = cards.secret(connection, keyring, user_id, Credential.TOKEN)
    held = None if fresh else application.held(cache)
    if held is None:
        grant = application.renew(cache)
        held = grant.access_token
        with store.writing() as connection:
            cards.keep_secret(connection, keyring, user_id, Credential.TOKEN, grant.cache, is_new=False)
    return Token(username=username, access_token=held)
