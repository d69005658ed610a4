"""Reads bounced.toml and the environment; every problem is reported at once, and names file, key and remedy."""

import glob
import os
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bounced.config.tables import Config, Database, Mailbox, Table
from bounced.errors import ConfigError

SYSTEM_PATH = Path("/etc/bounced/bounced.toml")
PREFIX = "BOUNCED_"


def find() -> Path | None:
    """The file to read when none is named on the command line; None: the defaults hold.

    raises   ConfigError when BOUNCED_CONFIG is set but empty
    """
    named = os.environ.get("BOUNCED_CONFIG")
    if named is not None:
        if not named:
            raise ConfigError("BOUNCED_CONFIG is empty: unset it, or let it name a file")
        return Path(named)
    return next((path for path in (Path("bounced.toml"), SYSTEM_PATH) if _is_there(path)), None)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:  # in a closed folder: reading it will tell
        return True


def load(path: Path | None = None, environment: Mapping[str, str] = os.environ) -> Config:
    """The configuration.

    path         the file; None: looked for (see `find`)
    environment  where BOUNCED_TABLE__KEY variables come from
    raises       ConfigError with all problems, each naming file, key and remedy
    """
    path = path or find()
    problems: list[str] = []
    content = _read(path) if path else {}
    folder = path.parent if path else Path()
    found = list(_mailboxes(content.pop("mailbox", []), path, problems))
    pattern = content.get("include")
    if isinstance(pattern, str) and pattern:
        further = sorted(glob.glob(str(folder / pattern)))  # noqa: PTH207  the pattern may be absolute
        if not further and not glob.has_magic(pattern):
            further = [str(folder / pattern)]  # reading it will tell
        for each in further:
            found.extend(_included(Path(each), problems))
    boxes = _distinct(found, problems)
    variables = _override(content, environment, problems)
    try:
        context = {"file": path or "environment", "folder": folder}
        config = Config.model_validate(content, context=context)
    except ValidationError as error:
        problems.extend(_lines(error, str(path or "environment"), Config, variables))
    if problems:
        raise ConfigError(*problems)
    return config.model_copy(update={"mailbox": tuple(boxes), "database": _beside(config.database, folder)})


def _beside(database: Database, folder: Path) -> Database:
    """A relative SQLite path counts from the file's folder, so that every command finds the same database."""
    prefix, path = database.url[:10], database.url[10:]
    if prefix != "sqlite:///" or path.startswith("/") or path == ":memory:":
        return database
    return Database(url=f"sqlite:///{(folder / path).absolute()}")


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from None


def _included(path: Path, problems: list[str]) -> Iterator[tuple[Path | None, Mailbox]]:
    try:
        content = _read(path)
    except ConfigError as error:
        problems.extend(error.problems)
        return
    boxes = content.pop("mailbox", [])
    problems.extend(f"{path}: {key}: only [[mailbox]] tables are read from an included file" for key in content)
    yield from _mailboxes(boxes, path, problems)


def _mailboxes(tables: object, path: Path | None, problems: list[str]) -> Iterator[tuple[Path | None, Mailbox]]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.append(f"{path}: mailbox: expected [[mailbox]] tables, with two brackets")
        return
    for number, table in enumerate(tables, 1):
        name = table.get("name")
        place = f"mailbox {name}" if isinstance(name, str) and name.isprintable() else f"mailbox number {number}"
        context = {"file": path, "place": place, "folder": path.parent if path else Path()}
        try:
            yield path, Mailbox.model_validate(table, context=context)
        except ValidationError as error:
            problems.extend(_lines(error, f"{path}: {place}", Mailbox))


def _distinct(boxes: list[tuple[Path | None, Mailbox]], problems: list[str]) -> list[Mailbox]:
    """Two mailboxes of one name would share a cursor; one folder polled twice would double every event."""
    names: dict[str, Path | None] = {}
    folders: dict[tuple[object, ...], str] = {}
    for path, box in boxes:
        if box.name in names:
            problems.append(f"{path}: mailbox {box.name}: the name is taken already, in {names[box.name]}")
            continue
        names[box.name] = path
        folder = (box.host.lower(), box.port, box.username, box.folder)
        if folder in folders:
            problems.append(f"{path}: mailbox {box.name}: polls the same folder as mailbox {folders[folder]}")
        folders[folder] = box.name
    return [box for _, box in boxes]


def _override(content: dict[str, Any], environment: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    """Puts BOUNCED_TABLE__KEY variables into `content`; returns which variable stands for which "table.key"."""
    variables: dict[str, str] = {}
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable == "BOUNCED_CONFIG":
            continue
        table, _, key = variable.removeprefix(PREFIX).lower().partition("__")
        model = Config.model_fields[table].annotation if table in Config.model_fields else None
        if not (isinstance(model, type) and issubclass(model, Table) and key in model.model_fields):
            problems.append(f"environment: {variable}: there is no such key; BOUNCED_TABLE__KEY names a key of a table")
            continue
        try:
            value = _from_text(model.model_fields[key].annotation, environment[variable])
        except ValueError as error:
            problems.append(f"environment: {variable}: {error}")
            continue
        if isinstance(values := content.setdefault(table, {}), dict):
            values[key] = value
            variables[f"{table}.{key}"] = variable
    return variables


def _from_text(kind: object, text: str) -> object:
    """A variable's text as TOML would give it, for a key of type `kind`.

    raises   ValueError for what is no truth value, list or table where one is expected
    """
    if kind is bool:
        if text not in ("true", "false"):
            raise ValueError("expected true or false")
        return text == "true"
    if text.lstrip()[:1] not in ("[", "{"):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        raise ValueError("is not a list or a table as TOML writes them") from None


def _lines(
    error: ValidationError, place: str, model: type[Table], variables: Mapping[str, str] | None = None
) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        location = [str(part) for part in problem["loc"]]
        variable = (variables or {}).get(".".join(location[:2]))
        where = f"environment: {variable}" if variable else ": ".join(filter(None, (place, ".".join(location))))
        if problem["type"] == "extra_forbidden":
            yield f"{where}: there is no such key{_meant(location, model)}"
        elif problem["type"] == "missing":
            yield f"{where}: is missing"
        else:
            yield f"{where}: {problem['msg'].removeprefix('Value error, ')}"


def _meant(location: list[str], model: type[Table]) -> str:
    for part in location[:-1]:
        inner = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, Table)):
            return ""
        model = inner
    close = get_close_matches(location[-1], [*model.model_fields, *(["mailbox"] if model is Config else [])], n=1)
    return f"; did you mean {close[0]}?" if close else ""
