"""Companies and their users: the cards that mail is sent by."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Select, case, select, update

from bounced.errors import InputError
from bounced.log import CONTROLS
from bounced.store import tables
from bounced.store.upsert import upsert


class MailSender(StrEnum):
    """How a user's mail leaves."""

    DIRECTO = "directo"
    SMTP = "smtp"
    DIRECTO_REPLY_TO = "directo-reply-to"
    MICROSOFT365 = "microsoft365"


class SmtpTls(StrEnum):
    """How the connection to a user's SMTP server is protected."""

    SSL = "ssl"
    STARTTLS = "starttls"
    NONE = "none"


USER_FIELDS = ("name", "email", "mail_sender", "smtp_server", "smtp_tls", "smtp_username")
"""What can be set on a user's card, beside its code."""

CLOSED_LISTS: Mapping[str, type[StrEnum]] = {"mail_sender": MailSender, "smtp_tls": SmtpTls}


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """A customer."""

    id: int
    name: str  # the local part of its event address, in lower case
    mail_sending_user_code: str | None
    mass_mail: bool  # it has the mass-mail module
    suppress: bool  # it keeps a suppression list


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user card.  None: not set."""

    id: int
    company_id: int
    company: str
    code: str
    name: str | None
    email: str | None
    mail_sender: MailSender | None
    smtp_server: str | None  # host:port, or the name of a preset
    smtp_tls: SmtpTls | None
    smtp_username: str | None
    password_version: int | None  # None: no password is set
    token_version: int | None  # the same of the login at Microsoft 365


def company_key(name: str) -> str:
    """A company's name as it is stored: a local part is compared without regard to case."""
    return name.strip().lower()


def user_code(code: str) -> str:
    """A user's code as it is stored; it counts in which case it is written."""
    return code.strip()


def email_key(address: str) -> str:
    """An e-mail address as it is compared."""
    return address.strip().lower()


def ensure_company(connection: Connection, name: str) -> int:
    """The id of the company, which is made known if it was not.

    raises  InputError: the name is empty
    """
    key = company_key(name)
    if not key:
        raise InputError("a company needs a name")
    chosen = select(tables.Company.id).where(tables.Company.name == key)
    company_id = connection.scalar(chosen)
    if company_id is None:
        connection.execute(upsert(connection, tables.Company).values(name=key).on_conflict_do_nothing())
        company_id = connection.execute(chosen).scalar_one()
    return company_id


def find_company(connection: Connection, name: str) -> Company | None:
    """The company of that name."""
    row = connection.execute(_COMPANIES.where(tables.Company.name == company_key(name))).one_or_none()
    return Company(**row._mapping) if row else None


def companies(connection: Connection) -> list[Company]:
    """All companies, by name."""
    return [Company(**row._mapping) for row in connection.execute(_COMPANIES.order_by(tables.Company.name))]


def set_mail_sending_user(connection: Connection, company_id: int, code: str | None) -> None:
    """Whose SMTP settings are the base for all users of the company; None or "": nobody's."""
    kept = user_code(code or "") or None
    connection.execute(
        update(tables.Company).where(tables.Company.id == company_id).values(mail_sending_user_code=kept)
    )


def set_company(
    connection: Connection, company_id: int, *, mass_mail: bool | None = None, suppress: bool | None = None
) -> None:
    """Set what is given: whether the company has the mass-mail module, whether it keeps a suppression list."""
    given = {name: value for name, value in (("mass_mail", mass_mail), ("suppress", suppress)) if value is not None}
    if given:
        connection.execute(update(tables.Company).where(tables.Company.id == company_id).values(given))


def put_users(connection: Connection, company_id: int, cards: Sequence[Mapping[str, str | None]]) -> None:
    """Add users, or change those whose code is known already.

    cards   each has "code" and some of USER_FIELDS, the same ones in all; "" and None mean "not set".  What the cards
            do not mention stays as it is.
    raises  InputError: a code is missing or given twice, a field is not one of these, or its value not of its list or
            with control characters
    """
    if not cards:
        return
    fields = set(cards[0])
    rows = [_checked(card, fields) | {"company_id": company_id} for card in cards]
    code, times = Counter(row["code"] for row in rows).most_common(1)[0]
    if times > 1:
        raise InputError(f"a user's code is given twice: {code}")
    statement = upsert(connection, tables.User)
    changed = {name: statement.excluded[name] for name in rows[0] if name not in ("code", "company_id")}
    unique = [tables.User.company_id, tables.User.code]
    if changed:
        statement = statement.on_conflict_do_update(index_elements=unique, set_=changed)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=unique)
    connection.execute(statement, rows)


def find_user(connection: Connection, company_id: int, code: str) -> User | None:
    """The company's user with that code."""
    chosen = _USERS.where(tables.User.company_id == company_id, tables.User.code == user_code(code))
    return next(_users(connection, chosen), None)


def user_by_id(connection: Connection, user_id: int) -> User:
    """The user of that row, which another row names."""
    return next(_users(connection, _USERS.where(tables.User.id == user_id)))


def company_by_id(connection: Connection, company_id: int) -> Company:
    """The company of that row, which another row names."""
    return Company(**connection.execute(_COMPANIES.where(tables.Company.id == company_id)).one()._mapping)


def users(connection: Connection, *, company_id: int | None = None, code: str | None = None) -> list[User]:
    """Users, by company and code: all, or those of one company, or those with one code."""
    chosen = _USERS.order_by(tables.Company.name, tables.User.code)
    if company_id is not None:
        chosen = chosen.where(tables.User.company_id == company_id)
    if code is not None:
        chosen = chosen.where(tables.User.code == user_code(code))
    return list(_users(connection, chosen))


class Credential(StrEnum):
    """What a user card keeps encrypted."""

    PASSWORD = "password"  # noqa: S105  the name of a column
    TOKEN = "token"  # noqa: S105  the same


def set_credential(
    connection: Connection, user_id: int, which: Credential, encrypted: bytes | None, *, is_new: bool = True
) -> None:
    """Keep a credential on a user's card; None: take it off.

    is_new   a person gave it; False: the same one, encrypted or renewed by a program, and its version stays
    """
    column, version = _KEPT[which]
    values: dict[Any, Any] = {column: encrypted}
    if is_new:
        values[version] = version + 1
    connection.execute(update(tables.User).where(tables.User.id == user_id).values(values))


def credential(connection: Connection, user_id: int, which: Credential) -> bytes | None:
    """What is kept on a user's card, encrypted; None: nothing."""
    column, _ = _KEPT[which]
    return connection.scalar(select(column).where(tables.User.id == user_id))


def credentials(connection: Connection) -> list[tuple[int, Credential]]:
    """Where cards keep something encrypted: (user's row, which).  Nobody else changes it in this transaction's time."""
    chosen = select(tables.User.id, tables.User.password, tables.User.token).order_by(tables.User.id)
    rows = connection.execute(chosen.with_for_update()).all()
    return [(row.id, which) for row in rows for which in Credential if getattr(row, which) is not None]


def users_by_email(connection: Connection, company_id: int, addresses: Iterable[str]) -> list[User]:
    """The company's users who have one of these e-mail addresses, by code."""
    keys = {email_key(address) for address in addresses}
    chosen = _USERS.where(tables.User.company_id == company_id, tables.User.email_key.in_(keys))
    return list(_users(connection, chosen.order_by(tables.User.code)))


_KEPT = {
    Credential.PASSWORD: (tables.User.password, tables.User.password_version),
    Credential.TOKEN: (tables.User.token, tables.User.token_version),
}

_COMPANIES = select(
    tables.Company.id,
    tables.Company.name,
    tables.Company.mail_sending_user_code,
    tables.Company.mass_mail,
    tables.Company.suppress,
)

_USERS = select(
    tables.User.id,
    tables.User.company_id,
    tables.Company.name.label("company"),
    tables.User.code,
    tables.User.name,
    tables.User.email,
    tables.User.mail_sender,
    tables.User.smtp_server,
    tables.User.smtp_tls,
    tables.User.smtp_username,
    case((tables.User.password.is_not(None), tables.User.password_version)).label("password_version"),
    case((tables.User.token.is_not(None), tables.User.token_version)).label("token_version"),
).join(tables.Company, tables.Company.id == tables.User.company_id)


def _users(connection: Connection, chosen: Select[*tuple[Any, ...]]) -> Iterator[User]:
    for row in connection.execute(chosen):
        fields = dict(row._mapping)
        for name, choices in CLOSED_LISTS.items():
            fields[name] = choices(fields[name]) if fields[name] else None
        yield User(**fields)


def _checked(card: Mapping[str, str | None], fields: set[str]) -> dict[str, str | int | None]:
    """A card as a row."""
    row: dict[str, str | int | None] = {name: (value or "").strip() or None for name, value in card.items()}
    code = row.get("code")
    if not code:
        raise InputError("a user needs a code")
    if set(card) != fields:
        raise InputError(f"user {code}: it has other fields than the first one")
    if unknown := sorted(fields - {"code", *USER_FIELDS}):
        raise InputError(f"user {code}: there is no field {unknown[0]}; there are {', '.join(USER_FIELDS)}")
    if found := next((name for name, value in row.items() if CONTROLS.search(str(value))), None):
        raise InputError(f"user {code}: {found}: it has a control character")  # a database may not take it
    for name, choices in CLOSED_LISTS.items():
        if row.get(name) is not None and row[name] not in list(choices):
            raise InputError(f"user {code}: {name} is one of {', '.join(choices)}, not {row[name]}")
    if "email" in row:
        row["email_key"] = email_key(card["email"] or "") or None
    return row
