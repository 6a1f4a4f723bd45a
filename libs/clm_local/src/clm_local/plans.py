"""Tracking plans, through ingest's admin API."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct

from clm_local.service import Service

Document = dict[str, Any]  # Any: a JSON document, which ingest checks


class Plan(Struct, frozen=True):
    """A tracking plan as it is set; of the workspace if it has no source."""

    source: str | None
    version: int
    updated_at: datetime
    updated_by: str
    plan: Document


class Violation(Struct, frozen=True):
    """How often one rule was violated."""

    source: str
    event: str
    version: int
    path: str
    rule: str
    reaction: str
    count: int
    first_seen: datetime
    last_seen: datetime


class _Plans(Struct, frozen=True):
    plans: list[Plan]


class _Report(Struct, frozen=True):
    violations: list[Violation]


class Plans(Service):
    """Asks ingest; a context manager."""

    name = "ingest"

    def every(self) -> list[Plan]:
        """Give all plans, the workspace's first."""
        return self.ask("GET", "/v1/admin/plans", _Plans).plans

    def get(self, source: str | None) -> Plan:
        """Give a plan."""
        return self.ask("GET", _path(source), Plan)

    def put(self, source: str | None, plan: Document) -> Plan:
        """Set a plan."""
        return self.ask("PUT", _path(source), Plan, body=plan)

    def delete(self, source: str | None) -> None:
        """Remove a plan."""
        self.ask("DELETE", _path(source), type(None))

    def violations(self, source: str | None, event: str | None, limit: int) -> list[Violation]:
        """Give what was violated, the most frequent first."""
        asked = {"source": source, "event": event}
        query: dict[str, str | int] = {n: value for n, value in asked.items() if value is not None}
        query["limit"] = limit
        return self.ask("GET", "/v1/admin/plan/violations", _Report, query=query).violations

    def forget_violations(self) -> None:
        """Begin counting anew."""
        self.ask("DELETE", "/v1/admin/plan/violations", type(None))


def _path(source: str | None) -> str:
    return "/v1/admin/plan" if source is None else f"/v1/admin/sources/{source}/plan"
