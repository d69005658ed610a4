"""Groups of "Name: value" lines, as delivery reports and feedback reports are written.

Sources: RFC 3464 §2.1.1 (groups parted by blank lines), RFC 5965 §3.
"""

import re

from parsers.headers import clean

MAX_GROUPS = 10_100
"""Groups read of one report: one for each recipient, and a few more than parsers.finish takes, so that it notices."""

MAX_FIELDS = 100
"""Fields of one group: a report's have ten."""
MAX_VALUE = 10_000
"""Characters of one field: a diagnostic of which MAX_DIAGNOSTIC are kept, with folds and encoded words."""

FIELD = re.compile(r"([A-Za-z][A-Za-z0-9-]{1,60})[ \t]*:[ \t]*(.*)")
REPEATED = frozenset({"final-recipient", "original-recipient", "action", "status"})
"""Fields that a group holds once: a second one begins the next group where the blank line is missing."""

Group = dict[str, str]
"""Values by lower-case field name, unfolded and decoded; of doubled fields the first that is not empty."""


def groups(text: str) -> list[Group]:
    """The groups of fields in `text`, in order.

    Lines that are no field go on with the one before, indented or not.  Never raises.
    """
    group: dict[str, list[str]] = {}
    found = [group]
    lines: list[str] | None = None  # of the field that may go on
    for line in text.split("\n"):
        if field := FIELD.match(line):
            name = field[1].lower()
            if name in group and group[name][0]:
                if name not in REPEATED:
                    lines = None
                    continue
                if len(found) == MAX_GROUPS:
                    break
                found.append(group := {})
            lines = [field[2]]
            if len(group) < MAX_FIELDS:
                group[name] = lines
        elif not line or line.isspace():
            lines = None
            if group:
                if len(found) == MAX_GROUPS:
                    break
                found.append(group := {})
        elif lines is not None:
            lines.append(line)
    return [{name: clean("\n".join(lines)[:MAX_VALUE]) for name, lines in group.items()} for group in found if group]


def without_comments(value: str) -> str:
    """`value` without what stands in parentheses (RFC 5322 §3.2.2), as far as they are closed."""
    return re.sub(r"\([^()]*\)", "", value).strip() if "(" in value else value
