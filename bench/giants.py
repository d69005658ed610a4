"""Parses messages of up to 50 MB that are built to be expensive, and prints what they cost.

Each is parsed in a process of its own; the memory is that process's peak, the interpreter and the message included.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.parsers.giants import GIANTS

MEGABYTE = 1024 * 1024
SIZES = (1, 10, 50)
SECONDS, MEGABYTES = 2, 400  # what no message may take


def cost(raw: bytes) -> tuple[float, int]:
    """CPU seconds, and MB of memory at the peak."""
    with tempfile.NamedTemporaryFile(suffix=".eml") as file:
        file.write(raw)
        file.flush()
        command = [sys.executable, "-m", "bench.giants", file.name]
        seconds, kilobytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(seconds), int(kilobytes) // 1024


def parse_one(path: Path) -> None:
    """Prints CPU seconds and KB of memory at the peak."""
    import time

    from parsers import parse

    raw = path.read_bytes()
    started = time.process_time()
    parse(raw)
    seconds = time.process_time() - started
    # Not ru_maxrss: that one begins with what the parent had.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(seconds, peak.split()[1])


def main() -> None:
    """Prints a line for each kind of message, with a mark where it costs too much."""
    print(f"{'':36}" + "".join(f"{size:5} MB " for size in SIZES) + "   memory")
    for name, giant in GIANTS.items():
        costs = [cost(giant(size * MEGABYTE)[: size * MEGABYTE]) for size in SIZES]
        seconds, peak = [cost[0] for cost in costs], max(cost[1] for cost in costs)
        mark = " TOO MUCH" if max(seconds) > SECONDS or peak > MEGABYTES else ""
        print(f"{name:36}" + "".join(f"{one:7.3f}s" for one in seconds) + f"{peak:7} MB{mark}", flush=True)


if __name__ == "__main__":
    parse_one(Path(sys.argv[1]))
