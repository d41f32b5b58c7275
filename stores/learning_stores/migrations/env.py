"""Alembic's environment: one connection given by the caller, the version table in our own schema."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table_schema="learning", transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
