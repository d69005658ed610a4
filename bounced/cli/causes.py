"""bounced causes and classify: the closed list of causes in words, and what a reply text comes to."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from bounced.cli.context import configuration
from bounced.cli.output import Format, lines, write
from bounced.cli.words import language


def causes(
    context: typer.Context,
    format: Annotated[Format, typer.Option(help="How the causes are written.")] = Format.TABLE,  # noqa: A002
) -> None:
    """List every cause with its explanation, its remedy and who must act."""
    from parsers.causes import texts
    from parsers.causes.cause import Cause

    directo = configuration(context).directo
    rows: list[dict[str, object]] = [
        {"cause": cause.value}
        | asdict(
            texts.describe(cause, language(), relay_address=directo.relay_address, event_domain=directo.event_domain)
        )
        for cause in Cause
    ]
    if format is not Format.TABLE:
        write(rows, format, columns=(), keys=("cause", "title", "explanation", "remedy", "who", "who_name"))
        return
    for row in rows:
        lines(
            (
                f"{row['cause']}: {row['title']}",
                f"    {row['explanation']}",
                f"    {row['who_name']}: {row['remedy']}",
                "",
            )
        )


def classify(
    texts: Annotated[
        list[str], typer.Argument(metavar="TEXT...", help="Reply texts; - reads them from standard input.")
    ],
    format: Annotated[Format, typer.Option(help="How the answers are written.")] = Format.TABLE,  # noqa: A002
) -> None:
    """Name the cause of reply texts, one a line."""
    keys = ("text", "cause", "permanent", "status", "smtp_code", "rule")
    write(_classified(_texts(texts)), format, columns=(*keys[1:], "text"), keys=keys)


def _texts(arguments: Iterable[str]) -> Iterator[str]:
    for argument in arguments:
        if argument == "-":
            yield from (line.rstrip("\r\n") for line in sys.stdin if line.strip())
        else:
            yield argument


def _classified(replies: Iterable[str]) -> Iterator[dict[str, object]]:
    from parsers.causes.classify import classify as decide
    from parsers.reply import find_reply
    from parsers.report import Kind
    from parsers.status import find_status

    for reply in replies:
        text = reply.encode("utf-8", "replace").decode()  # octets that are no UTF-8 would make JSON that many refuse
        status, code = find_status(text), find_reply(text)
        verdict = decide(text=text, status=status, smtp_code=code, kind=Kind.BOUNCE)
        yield {
            "text": text,
            "cause": verdict.cause.value,
            "permanent": verdict.permanent,
            "status": status,
            "smtp_code": code,
            "rule": verdict.rule,
        }
