"""Runs a fuzzer until the time is over or something is found; see the package for what is what."""

import argparse
import sys
from pathlib import Path
from random import Random

import atheris

from tests import sources

sources.use_sources()  # what is compiled cannot be instrumented
with atheris.instrument_imports(include=["parsers"]):  # flanker, imported later, would only be slower
    import parsers  # noqa: F401
# ruff: noqa: E402  the above comes first
from tests.fuzz import seeds
from tests.fuzz.checks import check_mail, check_reply
from tests.fuzz.mutate import mutate

BUILD = seeds.ROOT / "build/fuzz"
MAX_SIZE = 65_536
"""Octets of an input: enough for what grows faster than its input to show, few enough for hundreds a second."""
TARGETS = {"parse": (check_mail, seeds.mails), "classify": (check_reply, seeds.replies)}


def main() -> None:
    """Runs one target."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--only", type=Path, help="check this one input, such as an earlier finding, and end")
    given = parser.parse_args()
    check, seeds_of = TARGETS[given.target]
    if given.only:
        check(given.only.read_bytes())
        return

    donors = [raw for raw in seeds_of() if len(raw) < MAX_SIZE]
    known, begun, found = (BUILD / given.target / name for name in ("corpus", "seeds", "findings"))
    for folder in (known, begun, found):
        folder.mkdir(parents=True, exist_ok=True)
    for number, raw in enumerate(donors):
        (begun / f"{number:05}").write_bytes(raw)

    def change(raw: bytes, max_size: int, seed: int) -> bytes:
        """By structure mostly; by octets now and then."""
        random = Random(seed)
        if random.random() < 0.3:
            return bytes(atheris.Mutate(raw, max_size))
        return mutate(raw, random.choice(donors), max_size, seed)

    def cross(raw: bytes, other: bytes, max_size: int, seed: int) -> bytes:
        return mutate(raw, other, max_size, seed)

    options = [
        f"-max_total_time={given.seconds}",
        f"-max_len={MAX_SIZE}",
        f"-artifact_prefix={found}/",
        "-timeout=60",
        "-rss_limit_mb=1000",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(known), str(begun)], check, custom_mutator=change, custom_crossover=cross)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
