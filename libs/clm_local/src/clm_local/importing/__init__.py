"""The import of history: files of events sent to ingest, each line once, with its own verdict."""
