"""What the API reads, of one workspace: every function takes a connection, none decides."""
