"""The history of the schema `ingest`, run by Alembic at the start."""
