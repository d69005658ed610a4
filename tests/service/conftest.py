"""The servers that are asked before mail is sent."""

from tests.servers.fixtures import dns, sink

__all__ = ["dns", "sink"]
