"""The database's history, one Alembic revision a change. Revisions are written in SQL and never edited once released."""
