"""Writes docs/config.md and docs/causes.md from the code: `make docs`.  A test sees that they are up to date."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from bounced.config import BYTES, UNITS, Config, Directo, Mailbox, OAuth, Table
from parsers.causes import texts
from parsers.causes.cause import Cause

HERE = Path(__file__).parent


def config() -> str:
    """Every table and key of bounced.toml, with its default and what it means."""
    parts = [
        "# bounced.toml\n",
        "Looked for as `--config PATH`, `BOUNCED_CONFIG`, `./bounced.toml`, `/etc/bounced/bounced.toml`.",
        "Relative paths count from the file's folder. Unknown keys are errors.",
        "`BOUNCED_TABLE__KEY` in the environment overrides one key of one table; lists are written as in TOML.",
        '`include = "PATTERN"` at the top adds further files with `[[mailbox]]` tables.',
    ]
    tables: list[tuple[str, type[Table]]] = [
        (f"[{name}]", info.annotation)
        for name, info in Config.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, Table)
    ]
    tables[2:2] = [("[[mailbox]]", Mailbox), ("oauth, in a [[mailbox]]", OAuth)]
    for heading, model in tables:
        parts += [f"\n## {heading}\n", f"{model.__doc__}\n", "| key | default | |", "|---|---|---|"]
        parts += [f"| `{key}` | {_default(info)} | {info.description} |" for key, info in model.model_fields.items()]
    return "\n".join(parts) + "\n"


def causes() -> str:
    """Every cause in both languages."""
    parts = ["# Causes\n", "Why a message did not arrive, and what to do about it.\n"]
    directo = Directo()
    for cause in Cause:
        parts.append(f"## {cause.value}\n")
        for language in ("en", "et"):
            told = texts.describe(
                cause, language, relay_address=directo.relay_address, event_domain=directo.event_domain
            )
            parts.append(f"**{told.title}.** {told.explanation} *{told.who_name}:* {told.remedy}\n")
    return "\n".join(parts)


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "needed"
    return f"`{_toml(info.default)}`" if info.default is not None else ""


def _toml(value: Any) -> str:
    match value:
        case timedelta():
            return _with_unit(int(value.total_seconds()), UNITS)
        case bool() | str():
            return json.dumps(value)
        case int() if value >= BYTES["KiB"] and value % BYTES["KiB"] == 0:
            return _with_unit(value, {unit: size for unit, size in BYTES.items() if "i" in unit})
        case list():
            return f"[{', '.join(map(_toml, value))}]"
        case dict():
            return f"{{ {', '.join(f'{_key(key)} = {_toml(item)}' for key, item in value.items())} }}"
        case Table():
            return _toml(value.model_dump(exclude_none=True))
    return json.dumps(str(value)) if not isinstance(value, int) else str(value)


def _key(name: str) -> str:
    return name if name.isidentifier() else json.dumps(name)


def _with_unit(value: int, units: dict[str, int]) -> str:
    unit = max((unit for unit, size in units.items() if value % size == 0), key=units.__getitem__)
    return f'"{value // units[unit]}{unit}"'


PAGES = {"config.md": config, "causes.md": causes}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")
