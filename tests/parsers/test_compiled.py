"""The parsers as they are installed: compiled, where there is a C compiler."""

import subprocess
import sys
from pathlib import Path

import pytest

from parsers import dsn, parse
from tests.parsers.outcomes import mails


def test_compiled_parsers_say_the_same():
    """Over the fixtures and changed ones, to the letter."""
    if dsn.__file__.endswith(".py"):
        pytest.skip("the parsers are not compiled: no C compiler, or a source has changed since")
    written = subprocess.run(
        [sys.executable, "-m", "tests.parsers.outcomes"], capture_output=True, text=True, check=True
    )
    assert [ascii(parse(raw)) for raw in mails()] == written.stdout.splitlines()


def test_the_installed_program_finds_its_parsers(tmp_path: Path):
    """From any folder, not only from the one of the sources."""
    program = Path(sys.executable).with_name("bounced")
    done = subprocess.run(
        [program, "classify", "550 5.1.1 no such user"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "user-unknown" in done.stdout
