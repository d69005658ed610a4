"""What alembic runs: the migrations, on the connection that it was given, inside that connection's transaction."""

from alembic import context

from bounced.store.tables import Table

context.configure(connection=context.config.attributes["connection"], target_metadata=Table.metadata)
context.run_migrations()
