"""What is sent and what comes back, on SQLite and on PostgreSQL; and the servers that are asked before mail is sent."""

import pytest

from bounced.store.engine import Store
from tests.send.conftest import start_script
from tests.servers.fixtures import database_url, dns, new_folder, postgres, servers_folder, sink
from tests.service.office import Office
from tests.store.conftest import store, url

__all__ = ["database_url", "dns", "new_folder", "postgres", "servers_folder", "sink", "start_script", "store", "url"]


@pytest.fixture
def office(store: Store) -> Office:
    """Two companies: acme with MARI and JAAN, who send through Directo, and other with a MARI of its own."""
    return Office(store)
