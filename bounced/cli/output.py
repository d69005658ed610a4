"""How the command line shows data: tables for people, JSON lines and CSV for programs.  Data goes to standard output.

Everything shown may come from a mail: nothing in it may steer a terminal, and no CSV cell starts a formula.
"""

import csv
import json
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any

import typer

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins so for a formula."""

COLUMN_WIDTH = 40  # columns of text; an id has 36
LAST_WIDTH = 160
PIPE_WIDTH = 1_000  # into a pipe nothing is cut for want of room


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    JSONL = "jsonl"
    CSV = "csv"


FormatOption = Annotated[Format, typer.Option("--format", help="How the rows are written.")]


def write(rows: Iterable[Mapping[str, Any]], style: Format, *, columns: Sequence[str], keys: Sequence[str]) -> None:
    """Writes rows to standard output.

    columns  keys shown in a table
    keys     keys written as CSV; JSON lines hold each row whole
    """
    match style:
        case Format.TABLE:
            table(rows, columns)
        case Format.JSONL:
            for row in rows:
                typer.echo(json.dumps(row, ensure_ascii=False))
        case Format.CSV:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(keys)
            for row in rows:
                writer.writerow([cell(row.get(key)) for key in keys])


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Writes rows as a table without frame, one line each; what does not fit is cut off the last column.

    Where even the others do not fit, lines are as long as they must be: an id that is cut off is of no use.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    on_terminal = sys.stdout.isatty()
    drawn = Table(box=None, pad_edge=False, header_style="bold", expand=on_terminal)
    for column in columns[:-1]:
        drawn.add_column(column, no_wrap=True, max_width=COLUMN_WIDTH)
    drawn.add_column(columns[-1], no_wrap=True, max_width=LAST_WIDTH, ratio=1 if on_terminal else None)
    widths = [*map(cell_len, columns)]
    for row in rows:
        cells = [plain(row.get(column)) for column in columns]
        drawn.add_row(*(Text(text, overflow="ellipsis") for text in cells))
        for number, text in enumerate(cells[:-1]):
            widths[number] = max(widths[number], min(cell_len(text), COLUMN_WIDTH))
    if drawn.row_count:
        console = Console(highlight=False)
        needed = sum(widths) + 2 * len(widths)
        Console(width=max(console.width, needed) if on_terminal else PIPE_WIDTH, highlight=False).print(drawn)


def plain(value: object) -> str:
    """A value as one harmless line for a terminal; absent is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value))
    return "".join(" " if c == "\n" else c for c in str(value) if c == "\n" or is_harmless(c))


def is_harmless(character: str) -> bool:
    """Whether a character neither steers a terminal nor turns the reading direction."""
    return character.isprintable() or unicodedata.category(character) in ("Zs", "Co", "Cn")


def cell(value: object) -> object:
    """A value as a CSV cell: what a spreadsheet would take for a formula is quoted by an apostrophe."""
    if isinstance(value, Mapping | list | tuple):
        value = json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


@contextmanager
def progress(what: str, total: int | None, *, writing: bool = False) -> Iterator[Any]:
    """A progress bar on standard error while the work lasts; nothing when that is no terminal.

    Yields a function that is told how many more are done.
    writing  rows are written meanwhile: on a terminal, they are the progress, and a bar were in the way
    """
    if not sys.stderr.isatty() or (writing and sys.stdout.isatty()):
        yield lambda _more: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # rich would send what is written to a file to the terminal instead
    )
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda more: bar.advance(task, more)


def lines(texts: Iterable[str]) -> None:
    """Lines of text on standard output, made harmless one by one."""
    for text in texts:
        typer.echo(plain(text))
