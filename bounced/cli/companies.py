"""bounced companies: whose event mailboxes are polled, and what holds for all of their users."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bounced.cli.context import database
from bounced.cli.output import Format, FormatOption, lines, plain, write
from bounced.cli.users import USER_KEYS
from bounced.errors import InputError

COMPANY_KEYS = ("name", "mail_sending_user_code", "mass_mail", "suppress")

companies = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="List, show, add, set and import companies.")

MassMail = Annotated[
    bool | None, typer.Option("--mass-mail/--no-mass-mail", help="Whether it has the mass-mail module.")
]
Suppress = Annotated[
    bool | None,
    typer.Option("--suppress/--no-suppress", help="Whether addresses that bounce are not written to again."),
]
MailSendingUser = Annotated[
    str | None,
    typer.Option(
        "--mail-sending-user", metavar="CODE", help='The user whose SMTP settings are the base for all; "" for nobody.'
    ),
]


@companies.command("list")
def list_companies(context: typer.Context, format: FormatOption = Format.TABLE) -> None:  # noqa: A002
    """List the companies."""
    from bounced.store import people

    with database(context) as store, store.reading() as connection:
        write(map(asdict, people.companies(connection)), format, columns=COMPANY_KEYS, keys=COMPANY_KEYS)


@companies.command("show")
def show_company(context: typer.Context, name: str) -> None:
    """Show one company and its users."""
    from bounced.store import people

    with database(context) as store, store.reading() as connection:
        company = people.find_company(connection, name)
        if company is None:
            raise InputError(f"there is no company {plain(name)}")
        members = people.users(connection, company_id=company.id)
    lines(
        (
            f"company:            {company.name}",
            f"mail sending user:  {company.mail_sending_user_code or '-'}",
            f"mass-mail module:   {plain(company.mass_mail)}",
            f"suppression list:   {plain(company.suppress)}",
            "",
        )
    )
    write(map(asdict, members), Format.TABLE, columns=USER_KEYS[1:], keys=())


@companies.command("add")
def add_company(
    context: typer.Context,
    name: str,
    mail_sending_user: MailSendingUser = None,
    mass_mail: MassMail = None,
    suppress: Suppress = None,
) -> None:
    """Add a company; its name is the local part of its event address."""
    _put_company(context, name, mail_sending_user, mass_mail, suppress, known=False)


@companies.command("set")
def set_company(
    context: typer.Context,
    name: str,
    mail_sending_user: MailSendingUser = None,
    mass_mail: MassMail = None,
    suppress: Suppress = None,
) -> None:
    """Change a company."""
    if mail_sending_user is None and mass_mail is None and suppress is None:
        raise typer.BadParameter("nothing to set", param_hint="--mail-sending-user and the others")
    _put_company(context, name, mail_sending_user, mass_mail, suppress, known=True)


@companies.command("import")
def import_companies(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or JSON with name and mail_sending_user_code.")],
) -> None:
    """Add or change companies from a CSV or JSON file: all of them or, if one is wrong, none."""
    from bounced.service.tables import read_table
    from bounced.store import people

    rows = read_table(path, COMPANY_KEYS[:2], needed=("name",))
    with database(context) as store, store.writing() as connection:
        for row in rows:
            company_id = people.ensure_company(connection, row["name"] or "")
            if "mail_sending_user_code" in row:
                people.set_mail_sending_user(connection, company_id, row["mail_sending_user_code"])
    typer.echo(f"{len(rows)} companies")


def _put_company(
    context: typer.Context,
    name: str,
    mail_sending_user: str | None,
    mass_mail: bool | None,
    suppress: bool | None,
    *,
    known: bool,
) -> None:
    from bounced.store import people

    with database(context) as store, store.writing() as connection:
        if (people.find_company(connection, name) is not None) != known:
            raise InputError(f"there is {'no company' if known else 'a company already:'} {plain(name)}")
        company_id = people.ensure_company(connection, name)
        if mail_sending_user is not None:
            people.set_mail_sending_user(connection, company_id, mail_sending_user)
        people.set_company(connection, company_id, mass_mail=mass_mail, suppress=suppress)
