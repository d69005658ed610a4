"""The log: structlog to standard error, readable on a terminal, JSON elsewhere.  Set up once, by a face.

One line per unit of work: constant words, facts as fields.  Never a password, a token or a body.
"""

import logging
import re
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What could steer a terminal, end a line, or not be encoded."""


def configure(style: Literal["auto", "console", "json"]) -> None:
    """Sets up the log of this process; libraries' warnings come out the same way.

    style  "auto": console when standard error is a terminal, else JSON
    """
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    # plain tracebacks: the rich ones print local variables, among them passwords
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=24
        )
        if console
        else structlog.processors.JSONRenderer(default=str)
    )
    finish: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, _printable, renderer]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=finish))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("bounced").setLevel(logging.INFO)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # a long poll may swallow the next
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def get(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module, asked for once at its top."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def _printable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Text from mails and servers ends up in log lines: nothing in it may steer a terminal or fake a line."""
    for key, value in event.items():
        if isinstance(value, str) and CONTROLS.search(value):
            lines = value.split("\n") if key == "exception" else [value]  # only a traceback has lines of its own
            event[key] = "\n".join(CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", line) for line in lines)
    return event
