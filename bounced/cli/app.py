"""The table of commands."""

from pathlib import Path
from typing import Annotated

import typer

from bounced.cli import causes, companies, daemon, demo, events, mailboxes, replay, sending, stats, users

app = typer.Typer(
    help="Bounces from event mailboxes become events with a cause that support can act on.",
    rich_markup_mode=None,  # rich's help costs 0.1 s
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"bounced {version('bounced')}")
        raise typer.Exit


@app.callback()
def options(
    config: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="The bounced.toml; else BOUNCED_CONFIG, ./bounced.toml, /etc/bounced/."),
    ] = None,
    version: Annotated[  # noqa: ARG001  acted on when it is parsed
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Bounces from event mailboxes become events with a cause that support can act on."""
    del config  # read by the commands that need it (bounced.cli.context)


app.command()(daemon.run)
app.command()(daemon.poll)
app.command()(replay.replay)
app.command()(causes.classify)
app.add_typer(events.app, name="events")
app.command()(stats.stats)
app.command()(sending.send)
app.add_typer(sending.outbox, name="outbox")
app.add_typer(sending.suppressions, name="suppressions")
app.add_typer(companies.companies, name="companies")
app.add_typer(users.users, name="users")
app.command()(mailboxes.mailboxes)
app.command()(daemon.migrate)
app.command()(causes.causes)
app.command()(daemon.check)
app.command()(mailboxes.status)
app.command()(demo.demo)
