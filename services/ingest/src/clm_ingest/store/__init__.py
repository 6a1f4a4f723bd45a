"""What ingest keeps in PostgreSQL, in the schema `ingest`."""

from clm_ingest.store.hooks import Hooks, InboundHook
from clm_ingest.store.letters import Letters
from clm_ingest.store.plans import Plans
from clm_ingest.store.sources import SCHEMA, Keys, Source, Sources

__all__ = [
    "SCHEMA",
    "Hooks",
    "InboundHook",
    "Keys",
    "Letters",
    "Plans",
    "Source",
    "Sources",
]
