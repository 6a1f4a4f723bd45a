"""The schema `engagement`, revision by revision."""
