"""bounced.toml and the environment as typed models; every problem is reported at once.

Order: the file named by --config or BOUNCED_CONFIG, else ./bounced.toml, else /etc/bounced/bounced.toml, else the
defaults.  A variable BOUNCED_TABLE__KEY overrides one key of one table.  Relative paths are relative to the
file's folder.
"""

from bounced.config.file import find, load
from bounced.config.tables import Config, Database, Directo, Limit, Mailbox, Microsoft365, OAuth, Poll, Table
from bounced.config.values import BYTES, UNITS, After, NameServer, Secret

__all__ = [
    "BYTES",
    "UNITS",
    "After",
    "Config",
    "Database",
    "Directo",
    "Limit",
    "Mailbox",
    "Microsoft365",
    "NameServer",
    "OAuth",
    "Poll",
    "Secret",
    "Table",
    "find",
    "load",
]
