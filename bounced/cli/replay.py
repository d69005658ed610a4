"""bounced replay: mails from files through the steps of the daemon."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bounced.cli.context import configuration
from bounced.cli.output import Format, progress, write

COLUMNS = ("source", "kind", "cause", "permanent", "recipient", "status", "smtp_code", "diagnostic")


def replay(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help=".eml files, folders, mbox files, Maildirs.")],
    format: Annotated[Format, typer.Option(help="How events are written.")] = Format.TABLE,  # noqa: A002
    check: Annotated[bool, typer.Option("--check", help="Compare with NAME.json beside each NAME.eml.")] = False,
    store: Annotated[bool, typer.Option("--store", help="Store the events in the configured database.")] = False,
) -> None:
    """Parse, classify and correlate mails from files.

    Stores nothing unless told to by --store, which passes over mails that it has stored before.
    """
    if check and store:
        raise typer.BadParameter("--check and --store exclude each other", param_hint="--check")
    from bounced.model import KEYS, Event, as_json
    from bounced.service import replay as service

    if check:
        _check(paths)
        return
    with progress("replayed", None) as advance:

        def shown(event: Event) -> dict[str, object]:
            advance(1)
            return as_json(event)

        if not store:
            write(map(shown, service.replay(paths)), format, columns=COLUMNS, keys=KEYS)
            return
        from bounced.store.engine import Store

        config = configuration(context)
        with Store.open(config.database.url) as into:
            stored = service.store(paths, into, event_domain=config.directo.event_domain)
            write(map(shown, stored), format, columns=COLUMNS, keys=KEYS)


def _check(paths: list[Path]) -> None:
    from bounced.service import replay as service

    agreed = differed = 0
    with progress("compared", None) as advance:
        for difference in service.check(paths):
            advance(1)
            if difference is None:
                agreed += 1
                continue
            differed += 1
            typer.echo(f"{difference.source}: {difference.what}")
    typer.echo(f"{agreed} agree, {differed} differ")
    if differed:
        sys.exit(1)
