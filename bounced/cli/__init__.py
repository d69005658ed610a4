"""The command line: each command reads its arguments, calls one service and prints.

Exit status: 0 done, 1 failed (one clear line on standard error), 2 wrong usage.
Heavy imports stand inside the commands, so that `bounced --help` answers at once.
"""

import os
import re
import sys

from bounced.cli.app import app
from bounced.errors import BouncedError, ConfigError

__all__ = ["app", "main"]

UNDECODED = re.compile(r"[\udc80-\udcff]")  # an octet of an argument in another charset; only a path may have some


def main() -> None:
    """The program `bounced`."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal in another charset must not end the program
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="replace")  # nor must what another program wrote in one
    try:
        app(prog_name="bounced")
    except BouncedError as error:
        lines = error.problems if isinstance(error, ConfigError) else (str(error),)
        sys.exit("\n".join(f"bounced: {_one_line(line)}" for line in lines))
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # noqa: BLE001  a user gets one line, whatever went wrong
        if isinstance(error, UnicodeEncodeError) and any(map(UNDECODED.search, sys.argv)):
            # which is not told: it may be a message's text
            sys.exit(f"bounced: an argument is not text in {sys.getfilesystemencoding().upper()}")
        sys.exit(f"bounced: {_one_line(f'unexpected {type(error).__name__}: {error} ({_place(error)})')}")


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _place(error: Exception) -> str:
    """Where it happened, for the report to a developer."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "nowhere"
