"""The command line, run within the test's process, with a folder and a database of its own."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from bounced.cli import main


@dataclass(frozen=True)
class Result:
    exit: int
    out: str
    err: str


Bounced = Callable[..., Result]


@pytest.fixture
def bounced(tmp_path, monkeypatch, capsys) -> Bounced:
    """Runs `bounced ARGUMENTS...` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BOUNCED_CONFIG", raising=False)
    monkeypatch.setattr("bounced.config.file.SYSTEM_PATH", tmp_path / "none.toml")

    def run(*arguments: str) -> Result:
        monkeypatch.setattr("sys.argv", ["bounced", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        status, said = caught.value.code, capsys.readouterr()
        if isinstance(status, str):  # what the interpreter prints before it exits with 1
            return Result(1, said.out, said.err + status + "\n")
        return Result(status or 0, said.out, said.err)

    return run
