"""What all services of CLM share: contracts, bus, store and runtime."""
