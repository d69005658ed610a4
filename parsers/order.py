"""The detectors, in the order in which they are asked.  The first that finds something has it."""

from collections.abc import Callable

from parsers import dsn
from parsers.message import Mail
from parsers.report import Report

Detector = Callable[[Mail], tuple[Report, ...]]
"""() means "not mine".  A detector may leave to the door what every report gets: evidence, cause, bounds."""

ORDER: tuple[tuple[str, Detector], ...] = (
    ("dsn", dsn.parse),  # a standard beats every layout
)
