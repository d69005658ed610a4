"""bounced run, poll, check, migrate: the service, and what its administrator does beside it."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from bounced.cli.context import configuration
from bounced.cli.output import progress

if TYPE_CHECKING:
    from bounced.config import Config, Mailbox
    from bounced.service.poll import Found


def run(context: typer.Context) -> None:
    """Run the service: polls all mailboxes, sends what is in the outbox, and purges by retention.

    SIGTERM finishes what is in hand, SIGHUP reads the configuration again.
    """
    from bounced.service.daemon import Daemon

    Daemon(lambda: configuration(context)).run()


def poll(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Poll once and end.")] = False,
    mailbox: Annotated[str | None, typer.Option(metavar="NAME", help="Only this mailbox.")] = None,
) -> None:
    """Poll every mailbox once and print what was found."""
    if not once:
        raise typer.BadParameter("poll needs --once; to poll for ever, use `bounced run`", param_hint="--once")
    from bounced.errors import ConfigError

    config = configuration(context)
    boxes = [box for box in config.mailbox if mailbox in (None, box.name)]
    if not boxes:
        raise ConfigError(f"no mailbox is named {mailbox}" if mailbox else "no mailbox is configured")
    config.read_secrets()
    failed = False
    for found in _polled(config, boxes):
        failed |= found.error is not None or found.elsewhere
        if found.error is not None:
            typer.echo(f"bounced: {found.error}", err=True)
        elif found.elsewhere:
            typer.echo(f"bounced: mailbox {found.mailbox}: another process polls it just now", err=True)
        counts = ", ".join(
            f"{count} {kind.value} {cause or ''}".rstrip() for (kind, cause), count in found.taken.events.most_common()
        )
        typer.echo(f"{found.mailbox}: {found.taken.messages} messages{f': {counts}' if counts else ''}")
    if failed:
        sys.exit(1)


def _polled(config: "Config", boxes: "list[Mailbox]") -> "Iterator[Found]":
    import threading

    from bounced.service.poll import Poller
    from bounced.store.engine import Store

    with Store.open(config.database.url) as store:
        for box in boxes:
            with progress(f"polling {box.name}", None) as advance:
                found = Poller(store, threading.Event(), advance).poll(box, config)
            yield found


def check(context: typer.Context) -> None:
    """Test the configuration, the database, each mailbox's login and each SMTP login; exit 1 if anything is wrong."""
    from bounced.service.check import check as run_checks

    config = configuration(context)
    typer.echo(f"ok    configuration: {len(config.mailbox)} mailboxes")
    failed = False
    for verdict in run_checks(config):
        failed |= verdict.error is not None
        text = verdict.error or f"{verdict.what}{': ' if verdict.detail else ''}{verdict.detail}"
        typer.echo(f"{'WRONG' if verdict.error else 'ok   '} {text}")
    if failed:
        sys.exit(1)


def migrate(context: typer.Context) -> None:
    """Bring the database to the current schema."""
    from bounced.store.engine import Store

    Store.open(configuration(context).database.url, migrate=True).close()
    typer.echo("the database is at the current schema")
