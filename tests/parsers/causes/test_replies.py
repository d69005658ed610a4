"""Replies of real software, and the public reply texts of the corpus where it lies beside the project."""

import json
import tomllib
from pathlib import Path

import pytest

from parsers.causes.cause import Cause
from parsers.causes.classify import classify
from parsers.reply import find_reply
from parsers.report import Kind
from parsers.status import find_status

TABLE = tomllib.loads(Path(__file__).with_name("replies.toml").read_text(encoding="utf-8"))
REPLIES = [(cause, text) for cause, texts in TABLE.items() for text in texts]
CORPUS = Path(__file__).parents[3].parent / "shared" / "corpus"


def cause_of(text: str) -> Cause:
    """The cause, from nothing but the text."""
    return classify(text=text, status=find_status(text), smtp_code=find_reply(text), kind=Kind.BOUNCE).cause


def test_the_table_has_every_cause() -> None:
    """A cause without a reply is a cause that nobody tried."""
    assert set(TABLE) == set(Cause)


@pytest.mark.parametrize(("cause", "text"), REPLIES, ids=[text[:60] for _, text in REPLIES])
def test_reply(cause: str, text: str) -> None:
    """Each reply has the cause that a support person would name."""
    assert cause_of(text) == cause


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not beside the project")
def test_public_reply_texts() -> None:
    """At least nine of ten texts that others collected are judged as they judge them."""
    reasons = json.loads((CORPUS / "mapping.json").read_text())["causes"]
    labels = [json.loads(line) for line in (CORPUS / "smtp_replies.jsonl").read_text().splitlines()]
    right = 0
    for label in labels:
        cause = cause_of(label["text"])
        right += cause in label.get("cause", ()) or bool(set(reasons.get(cause, ())) & set(label.get("reason", ())))
    assert right >= 0.9 * len(labels)
