"""Debian's packages, unpacked into a folder: nothing is installed, removed or replaced.

Debian's mail servers exclude each other, and installing one would remove that of the machine's administrator.
"""

import fcntl
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from os import environ, geteuid
from pathlib import Path

from tests.servers.folders import cache
from tests.servers.missing import Missing


def fetch(*packages: str, refresh: bool = False) -> Path:
    """The folder into which `packages` and those libraries they need that are not installed here are unpacked.

    packages  named ones are unpacked even where they are installed: name each that holds a file you start
    refresh   ask apt whether there are newer versions; otherwise a copy from an earlier run is taken as it is
    raises    Missing with the reason in one line
    """
    folder = cache() / packages[0]
    listing = folder / "packages.txt"
    with (cache() / f"{packages[0]}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if refresh or not listing.exists():
            try:
                _bring_up_to_date(folder, listing, packages)
            except (OSError, subprocess.CalledProcessError) as error:
                raise Missing(f"{packages[0]}: {_reason(error)}") from error
    return folder


def version(folder: Path, package: str) -> str:
    """The version of `package` that was unpacked into `folder`."""
    lines = (folder / "packages.txt").read_text().split()
    return next(line.partition("=")[2] for line in lines if line.startswith(f"{package}="))


def environment(folder: Path, *libraries: str) -> dict[str, str]:
    """An environment whose programs look for libraries below `folder` first: in `libraries` and in the usual places."""
    places = [folder / name for name in libraries]
    places += sorted(folder.glob("usr/lib/*-linux-gnu*")) + sorted(folder.glob("lib/*-linux-gnu*"))
    return {"PATH": environ.get("PATH", ""), "LANG": "C", "LD_LIBRARY_PATH": ":".join(map(str, places))}


def _bring_up_to_date(folder: Path, listing: Path, packages: Sequence[str]) -> None:
    try:
        wanted = _closure(packages)
        if listing.exists() and listing.read_text() == wanted:
            return
        _unpack(wanted, folder)
    except subprocess.CalledProcessError:
        if geteuid() != 0:
            raise
        _run("apt-get", "update", "-q")  # no lists yet, or older than what the mirror still has
        wanted = _closure(packages)
        _unpack(wanted, folder)


def _closure(packages: Sequence[str]) -> str:
    """NAME=VERSION, a line each: `packages` and what they need and is not installed.

    Resolved as for an empty system, so that whatever is installed here conflicts with nothing.
    """
    plan = _run(
        "apt-get",
        "install",
        "--simulate",
        "--no-install-recommends",
        "--option=Dir::State::status=/dev/null",
        *packages,
    )
    needed = {line.split()[1]: line.split("(")[1].split()[0] for line in plan.splitlines() if line.startswith("Inst ")}
    states = _run("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n")
    installed = {name for name, state in map(str.split, states.splitlines()) if state == "installed"}
    return "".join(f"{name}={needed[name]}\n" for name in sorted(needed) if name in packages or name not in installed)


def _unpack(wanted: str, folder: Path) -> None:
    """Replace `folder` by one into which the packages of `wanted` are unpacked."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        fresh = Path(name) / "root"
        fresh.mkdir()
        _run("apt-get", "download", "--option=APT::Sandbox::User=root", *wanted.split(), folder=Path(name))
        for package in sorted(Path(name).glob("*.deb")):
            _run("dpkg-deb", "--extract", str(package), str(fresh))
        (fresh / "packages.txt").write_text(wanted)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)


def _run(*command: str, folder: Path = Path("/")) -> str:
    """The output of `command`, in English."""
    variables: Mapping[str, str] = {**environ, "LC_ALL": "C"}
    return subprocess.run(command, cwd=folder, env=variables, check=True, capture_output=True, text=True).stdout


def _reason(error: Exception) -> str:
    """One line: apt's last complaint, or what the system said."""
    if isinstance(error, subprocess.CalledProcessError):
        complaints = [line for line in str(error.stderr).splitlines() if line.startswith(("E:", "dpkg-deb: error"))]
        return complaints[-1] if complaints else f"{error.cmd[0]} ended with {error.returncode}"
    return str(error)
