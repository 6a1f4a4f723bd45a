"""Changing a lifecycle with open eyes: programs that check, compare and try out definitions."""
