"""The real servers, and the service as a process of its own."""

from tests.integration.running import new_service, own_postgres
from tests.servers.fixtures import (
    authority,
    database_url,
    dns,
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
    "dns",
    "dovecot",
    "mailbox",
    "new_folder",
    "new_service",
    "own_postgres",
    "postfix",
    "postgres",
    "servers_folder",
    "sink",
    "start_dovecot",
    "start_postfix",
    "start_proxy",
]
