"""The runtime: the batch worker, the relay, and what every service's process does."""
