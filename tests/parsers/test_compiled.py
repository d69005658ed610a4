import subprocess
import sys

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
