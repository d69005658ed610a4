"""Parses and classifies the same mails as the standard library's parser merely parses and decodes.

The mails are the fixtures; the public bounces beside the project, too, where they are there.
"""

import email
import time
from collections.abc import Callable
from pathlib import Path

from parsers import dsn, parse

ROOT = Path(__file__).parents[1]
FOLDERS = {"fixtures": ROOT / "fixtures", "public bounces": ROOT.parent / "shared/corpus/mail"}
ROUNDS = 7  # the best of them counts: whatever else the machine does only ever slows one down


def standard_library(raw: bytes) -> None:
    """Parses with the compat32 policy and decodes every part."""
    for part in email.message_from_bytes(raw).walk():
        if not part.is_multipart():
            part.get_payload(decode=True)


def seconds(work: Callable[[bytes], object], mails: list[bytes]) -> float:
    """CPU seconds that `work` takes for all mails."""
    started = time.process_time()
    for raw in mails:
        work(raw)
    return time.process_time() - started


def main() -> None:
    """Prints both rates and their ratio, for each folder that is there."""
    print("parsers: " + ("as they are written" if dsn.__file__.endswith(".py") else "compiled"))
    for name, folder in FOLDERS.items():
        mails = [path.read_bytes() for path in sorted(folder.rglob("*.eml"))]
        if not mails:
            print(f"{name}: not here")
            continue
        ours, theirs = [], []
        for _ in range(ROUNDS):  # in turns, so that both meet the same machine
            ours.append(seconds(parse, mails))
            theirs.append(seconds(standard_library, mails))
        rate, plain = len(mails) / min(ours), len(mails) / min(theirs)
        print(f"{name}: {len(mails)} mails, {sum(map(len, mails)) / len(mails) / 1000:.1f} KB each")
        print(f"  parsed and classified:                  {rate:6.0f} mails/s")
        print(f"  standard library, parsed and decoded:   {plain:6.0f} mails/s")
        print(f"  ratio: {rate / plain:.2f}")
