"""Compiles the parsers with mypyc when the project is built or installed: a mail then takes two thirds of the time.

What is compiled are the modules that mypy checks anyway, as they stand.  Where there is no C compiler, or no header of
this Python, they are left uncompiled: the same results, slower.  HATCH_BUILD_NO_HOOKS=1 leaves them so, too.
"""

import contextlib
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from mypyc.build import mypycify
from setuptools import Distribution
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

LEFT = {"parsers/__init__.py", "parsers/report.py", "parsers/quiet.py"}
"""What stays as it is: the door, the named tuples, which are none the faster, and the imports of flanker."""
BUILD = f"build/compiled/{sys.implementation.cache_tag}"


class CompileHook(BuildHookInterface[Any]):
    """Called by hatchling for a wheel and for an editable install; this one finds the compiled modules in the tree."""

    PLUGIN_NAME = "custom"

    def clean(self, versions: list[str]) -> None:  # noqa: ARG002  hatchling's signature
        """Remove what was compiled for this Python."""
        for path in self._compiled():
            path.unlink()

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile in place, and have the wheel carry the result."""
        self.clean([])
        with contextlib.chdir(self.root):
            try:
                _compile()
            except (BaseError, CCompilerError) as error:
                self.app.display_warning(f"the parsers stay uncompiled, and slower: {error}")
                self.clean([])
                return
        for path in self._compiled():
            path.touch()  # what is unchanged was not compiled again, but is up to date
        if version == "editable":
            return  # found in the tree; a second copy would be found first, and grow old
        build_data["pure_python"], build_data["infer_tag"] = False, True
        build_data["force_include"].update({str(path): str(path.relative_to(self.root)) for path in self._compiled()})

    def _compiled(self) -> list[Path]:
        suffix = f"*.{sys.implementation.cache_tag}-*.so"
        root = Path(self.root)
        return [*root.glob(f"parsers__mypyc{suffix}"), *root.glob(f"parsers/**/{suffix}")]


def _compile() -> None:
    """Raises BaseError or CCompilerError where it cannot."""
    sources = sorted({str(path) for path in Path("parsers").rglob("*.py")} - LEFT)
    extensions = mypycify(
        ["--config-file=", "--ignore-missing-imports", *sources], group_name="parsers", target_dir=BUILD
    )
    command = build_ext(Distribution({"ext_modules": extensions}))
    command.inplace, command.build_temp, command.build_lib = True, BUILD, BUILD
    command.ensure_finalized()
    command.run()
