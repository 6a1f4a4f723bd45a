"""The schema `stage_engine`, one Alembic revision a file."""
