"""Ingest: the tracking API. It admits touchpoints over HTTP and publishes them to Kafka."""
