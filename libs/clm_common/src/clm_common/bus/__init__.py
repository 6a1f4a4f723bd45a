"""The bus: ports, the Kafka adapter, and a memory adapter that passes the same tests."""
