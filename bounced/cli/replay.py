"""bounced replay: mails from files through the steps of the daemon."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bounced.cli.context import configuration
from bounced.cli.output import Format, lines, progress, write

if TYPE_CHECKING:
    from bounced.model import Event

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
    from bounced.model import KEYS

    if check:
        _check(paths)
        return
    with _events(context, paths, store=store) as events, _shown(events, format) as rows:
        write(rows, format, columns=COLUMNS, keys=KEYS)


@contextmanager
def _events(context: typer.Context, paths: list[Path], *, store: bool) -> "Iterator[Iterator[Event]]":
    from bounced.service import replay as service

    if not store:
        yield service.replay(paths)
        return
    from bounced.keys import Keyring
    from bounced.store.engine import Store

    config = configuration(context)
    keyring = Keyring.find(config)
    with Store.open(config.database.url) as into:
        yield service.store(paths, into, config, keyring)


@contextmanager
def _shown(events: "Iterator[Event]", style: Format) -> Iterator[Iterable[dict[str, object]]]:
    """The events as JSON, with a progress bar, which is gone before a table is drawn."""
    from bounced.model import as_json

    with progress("replayed", None, writing=style is not Format.TABLE) as advance:

        def shown(event: "Event") -> dict[str, object]:
            advance(1)
            return as_json(event)

        rows = map(shown, events)
        if style is not Format.TABLE:
            yield rows
            return
        drawn = list(rows)
    yield drawn


def _check(paths: list[Path]) -> None:
    from bounced.service import replay as service

    compared: list[service.Difference | None] = []
    with progress("compared", None) as advance:
        for difference in service.check(paths):
            advance(1)
            compared.append(difference)
    differences = [difference for difference in compared if difference]
    lines(f"{difference.source}: {difference.what}" for difference in differences)
    typer.echo(f"{len(compared) - len(differences)} agree, {len(differences)} differ")
    if differences:
        sys.exit(1)
