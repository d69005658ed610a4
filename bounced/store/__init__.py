"""The store: tables, transactions and queries.  SQLite by default, PostgreSQL by changing the URL.

`engine.Store` opens a database and gives transactions; each other module is functions over one connection of it.
"""
