"""The house has floors: imports go down, never up, and never into a neighbour."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = {
    "parsers": 0,
    "bounced.errors": 1,
    "bounced.config": 2,
    "bounced.log": 2,
    "bounced.model": 2,
    "bounced.network": 2,
    "bounced.keys": 3,
    "bounced.store": 3,
    "bounced.inbox": 4,
    "bounced.send": 4,
    "bounced.service": 5,
    "bounced.cli": 6,
    "bounced.web": 6,
}
"""What may be imported: the own part, and whatever stands on a lower floor."""

GROUND = {"flanker", "re2", "parsers"} | sys.stdlib_module_names
"""What the ground floor may import."""

MODULES = sorted([*(ROOT / "parsers").rglob("*.py"), *(ROOT / "bounced").rglob("*.py")])


def imports(path: Path) -> Iterator[str]:
    """Every absolute name that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def part(name: str) -> str | None:
    """The part of the house that a dotted name belongs to."""
    return next((part for part in FLOORS if name == part or name.startswith(f"{part}.")), None)


def test_there_are_modules():
    """A lost folder must fail, not pass silently."""
    assert len(MODULES) > 10


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path):
    """A module imports its own part and lower floors only; parsers/ imports nothing but its engine."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    here = part(name)
    for imported in imports(path):
        if here == "parsers":
            assert imported.split(".")[0] in GROUND, imported
        there = part(imported)
        if there and there != here and here:
            assert FLOORS[there] < FLOORS[here], f"{name} imports {imported}"
