"""The migrations of the schema `metrics`."""
