"""The store: PostgreSQL, one schema per service, and the fenced offsets."""
