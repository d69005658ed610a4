"""Real servers for tests: unpacked from Debian's packages, run on free loopback ports, stopped with the test run."""

from tests.servers.missing import Missing, require

__all__ = ["Missing", "require"]
