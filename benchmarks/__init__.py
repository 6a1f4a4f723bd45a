"""Benchmarks: each runs both sides in one go, alternating, and prints a ratio."""
