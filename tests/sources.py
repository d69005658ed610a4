"""The parsers as they are written, where compiled ones lie beside them (see deploy/compile.py)."""

import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path

PARSERS = Path(__file__).parents[1] / "parsers"


def are_newer() -> bool:
    """Whether a source has changed since it was compiled."""
    compiled = [path.stat().st_mtime for path in PARSERS.rglob(f"*.{sys.implementation.cache_tag}-*.so")]
    return bool(compiled) and max(path.stat().st_mtime for path in PARSERS.rglob("*.py")) > min(compiled)


def use_sources() -> None:
    """From now on import nothing compiled of the parsers."""
    sys.path_hooks.insert(0, _finder)


def _finder(folder: str) -> FileFinder:
    if not Path(folder).is_relative_to(PARSERS):
        raise ImportError
    return FileFinder(folder, (SourceFileLoader, SOURCE_SUFFIXES))
