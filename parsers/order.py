"""The detectors, in the order in which they are asked.  The first that finds something has it."""

from collections.abc import Callable

from parsers import arf, autoreply, dsn, mdn, rewrapped
from parsers.layouts import dma, exchange, exim, gmail, postfix, qmail, sns, unlisted
from parsers.message import Mail
from parsers.report import Report

Detector = Callable[[Mail], tuple[Report, ...]]
"""() means "not mine".  A detector may leave to the door what every report gets: evidence, cause, bounds."""

ORDER: tuple[tuple[str, Detector], ...] = (
    ("arf", arf.parse),  # standards beat every layout, and these three are told apart by the type of a part
    ("dsn", dsn.parse),
    ("mdn", mdn.parse),
    ("dsn-in-text", dsn.parse_in_text),  # says more than the layouts around it
    ("qmail", qmail.parse),  # exact first words, cannot take another's mail
    ("exim", exim.parse),  # a sentence of its own each, in any order
    ("postfix", postfix.parse),
    ("exchange", exchange.parse),
    ("gmail", gmail.parse),
    ("dma", dma.parse),
    ("sns", sns.parse),  # JSON: no other text begins so
    ("dsn-pasted", dsn.parse_pasted),  # after the layouts: a bounce of a bounce returns the other one's fields
    ("dsn-nameless", dsn.parse_nameless),
    ("rewrapped", rewrapped.parse),  # before the guess, which would take the wrapper's recipient
    ("unlisted", unlisted.parse),  # a guess, so nearly last
    ("autoreply", autoreply.parse),  # last: servers mark their bounces as replies too
)
