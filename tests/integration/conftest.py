"""The real servers."""

from tests.servers.fixtures import (
    authority,
    database_url,
    dovecot,
    mailbox,
    new_folder,
    postfix,
    postgres,
    servers_folder,
    sink,
    start_dovecot,
    start_postfix,
    start_proxy,
)

__all__ = [
    "authority",
    "database_url",
    "dovecot",
    "mailbox",
    "new_folder",
    "postfix",
    "postgres",
    "servers_folder",
    "sink",
    "start_dovecot",
    "start_postfix",
    "start_proxy",
]
