"""What can go wrong, in words for the operator.  Imports nothing.

Each message is one line, names what and where, and carries no secret.
"""


class BouncedError(Exception):
    """Base of all errors that end a command with exit status 1 and one line."""


class ConfigError(BouncedError):
    """The configuration is wrong.  `problems`: one line each, naming file, key and remedy."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class StoreError(BouncedError):
    """The database failed.  `retry`: True if it may work again by itself (locked, full, down)."""

    def __init__(self, what: str, *, retry: bool) -> None:
        super().__init__(f"database: {what}")
        self.retry = retry


class LeaseLostError(BouncedError):
    """Another daemon has taken over this mailbox; what was not committed is its work now."""


class MailboxError(BouncedError):
    """One mailbox failed.  `retry`: True if the next poll may work, False if a person must act."""

    def __init__(self, mailbox: str, what: str, *, retry: bool) -> None:
        super().__init__(f"mailbox {mailbox}: {what}")
        self.mailbox, self.what, self.retry = mailbox, what, retry


class InputError(BouncedError):
    """Something that a person or a program handed in cannot be used."""


class LetterError(InputError):
    """A letter cannot be sent as it was handed in.  `field`: what of it."""

    def __init__(self, field: str, what: str) -> None:
        super().__init__(f"{field}: {what}")
        self.field = field
