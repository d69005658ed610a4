"""Reads tables that people hand in: CSV with a heading line, or a JSON list of objects."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from bounced.errors import InputError

MAX_SIZE = 64 * 2**20
"""Bytes of such a file."""


def read_table(path: Path, columns: Sequence[str], needed: Sequence[str] = ()) -> list[dict[str, str | None]]:
    """The rows of a table; a cell that is not there is missing, one that is empty is None or "".

    needed   columns that no row leaves empty
    raises   InputError, one line that names file and row, for what cannot be read, unknown columns and empty cells
    """
    try:
        if path.stat().st_size > MAX_SIZE:
            raise InputError(f"{path}: is larger than {MAX_SIZE} bytes")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text") from None
    rows = _json(path, text) if text.lstrip()[:1] in ("[", "{") else _csv(path, text)
    for number, row in enumerate(rows, 1):
        for key, value in row.items():
            if key not in columns:
                raise InputError(f"{path}: row {number}: there is no column {key}; there are {', '.join(columns)}")
            if value is not None and not isinstance(value, str):
                raise InputError(f"{path}: row {number}: {key}: expected text")
        if empty := next((key for key in needed if not (row.get(key) or "").strip()), None):
            raise InputError(f"{path}: row {number}: {empty} is missing")
    return rows


def _json(path: Path, text: str) -> list[dict[str, str | None]]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not valid JSON: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: expected a list of objects")
    return rows


def _csv(path: Path, text: str) -> list[dict[str, str | None]]:
    heading = text.partition("\n")[0]
    delimiter = "," if "," in heading else ";"  # what Excel writes where a comma is the decimal sign
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise InputError(f"{path}: is not valid CSV: {error}") from None
    names = reader.fieldnames or ()
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"{path}: the column {twice} is there twice")
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise InputError(f"{path}: row {number}: has another number of cells than the heading")
    return rows
