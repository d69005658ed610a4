"""Runs all benchmarks: `python -m bench`, or those named on the command line."""

import sys
from importlib import import_module

NAMES = ("parse", "drain", "send")
"""What runs by itself; `kills` takes minutes and must be named."""

for name in sys.argv[1:] or NAMES:
    print(f"== {name}", flush=True)
    import_module(f"bench.{name}").main()
