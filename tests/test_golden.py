"""Every fixture says exactly what the JSON beside it says."""

import json
from pathlib import Path

import pytest

from bounced.model import golden
from parsers import parse

FIXTURES = Path(__file__).parents[1] / "fixtures"
MAILS = sorted(FIXTURES.rglob("*.eml"))


def test_there_are_fixtures():
    """A lost folder must fail, not pass silently."""
    assert len(MAILS) >= 40


@pytest.mark.parametrize("eml", MAILS, ids=lambda path: str(path.relative_to(FIXTURES)))
def test_golden(eml: Path):
    """The mail's events are those of its JSON, and nothing but hostile mail leaves a problem in the log."""
    outcome = parse(eml.read_bytes())
    assert golden(outcome) == json.loads(eml.with_suffix(".json").read_text("utf-8"))
    assert outcome.problems == () or "hostile" in eml.relative_to(FIXTURES).parts
