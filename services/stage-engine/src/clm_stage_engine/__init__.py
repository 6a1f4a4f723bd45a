"""Stage-engine: advances one state machine per customer and publishes what changed."""
