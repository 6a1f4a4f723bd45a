"""The pure part of ingest: what is admitted, and as what."""
