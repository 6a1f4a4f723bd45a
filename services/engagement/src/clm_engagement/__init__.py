"""The engagement service: journeys that act per stage, and the messages they deliver."""
