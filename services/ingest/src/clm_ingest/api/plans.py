"""Tracking plans: of the workspace, or of one source; and what violates them."""

from datetime import datetime
from functools import partial
from typing import Annotated, Final
from uuid import UUID

from fastapi import FastAPI, Query, Response
from pydantic import Field

from clm_common.runtime.models import Answer
from clm_ingest.api.shared import (
    IfMatch,
    Limit,
    SourceReader,
    SourceWriter,
    etag,
    follow,
    versions_of,
    workspace_of,
)
from clm_ingest.core.plan import TrackingPlan
from clm_ingest.keyring import Keyring
from clm_ingest.store.plans import Plans, StoredPlan

_WORKSPACE: Final = "/v1/admin/plan"
_SOURCE: Final = "/v1/admin/sources/{source_id}/plan"


class PlanView(Answer):
    """A tracking plan."""

    source: UUID | None = Field(
        description="Whose it is; null: of all sources that have none of their own."
    )
    version: int = Field(description="Changes with every change; the `ETag` names it.")
    updated_at: datetime
    updated_by: str
    plan: TrackingPlan

    @classmethod
    def of(cls, stored: StoredPlan) -> "PlanView":
        """Show a plan."""
        return cls.model_validate({n: getattr(stored, n) for n in stored.__struct_fields__})


class PlanList(Answer):
    """A workspace's tracking plans, its own first."""

    plans: list[PlanView]


class ViolationView(Answer):
    """How often one rule was violated."""

    source: str = Field(description="The source's id.")
    event: str = Field(description="The event's name, or the kind of call.")
    version: int = Field(description="Of the schema; 0 for an event that the plan does not know.")
    path: str = Field(description="Where in the event, a JSON pointer; `*` is a place in a list.")
    rule: str = Field(description="Where in the schema, a JSON pointer.")
    reaction: str = Field(description="`observed`, `quarantined` or `dropped`.")
    count: int
    first_seen: datetime
    last_seen: datetime


class ViolationReport(Answer):
    """What was violated, the most frequent first."""

    violations: list[ViolationView]


class PlanRoutes:
    """The routes of plans."""

    def __init__(self, plans: Plans, keyring: Keyring) -> None:
        """Make them.

        Args:
            plans: the tables.
            keyring: read again after a change.
        """
        self._plans = plans
        self._keyring = keyring

    def add_to(self, app: FastAPI) -> None:
        """Add them to an app."""
        add = partial(app.add_api_route, tags=["tracking plans"])
        add("/v1/admin/plans", self.list_plans, methods=["GET"], summary="All tracking plans")
        violations = f"{_WORKSPACE}/violations"
        add(violations, self.report, methods=["GET"], summary="What violates tracking plans")
        add(
            violations, self.reset, methods=["DELETE"], status_code=204,
            summary="Begin counting violations anew",
        )  # fmt: skip
        add(_WORKSPACE, self.get_plan, methods=["GET"], summary="The workspace's tracking plan")
        add(_WORKSPACE, self.put_plan, methods=["PUT"], summary="Set the workspace's tracking plan")
        add(
            _WORKSPACE, self.delete_plan, methods=["DELETE"], status_code=204,
            summary="Remove the workspace's tracking plan",
        )  # fmt: skip
        add(_SOURCE, self.get_source_plan, methods=["GET"], summary="A source's own tracking plan")
        add(_SOURCE, self.put_source_plan, methods=["PUT"], summary="Set a source's tracking plan")
        add(
            _SOURCE, self.delete_source_plan, methods=["DELETE"], status_code=204,
            summary="Remove a source's own tracking plan",
        )  # fmt: skip

    async def list_plans(self, who: SourceReader) -> PlanList:
        """List the workspace's plan and those of its sources."""
        return PlanList(plans=[PlanView.of(it) for it in await self._plans.list(who.workspace)])

    async def get_plan(self, who: SourceReader, response: Response) -> PlanView:
        """Give the plan of all sources that have none of their own."""
        return _shown(await self._plans.get(who.workspace, None), response)

    async def put_plan(
        self, who: SourceWriter, plan: TrackingPlan, response: Response, if_match: IfMatch = None
    ) -> PlanView:
        """Set it; every process acts by it within two seconds."""
        return await self._put(who, None, plan, response, if_match)

    async def delete_plan(self, who: SourceWriter, if_match: IfMatch = None) -> None:
        """Remove it: events are held against nothing, but for sources that have their own."""
        await self._delete(who, None, if_match)

    async def get_source_plan(
        self, who: SourceReader, source_id: UUID, response: Response
    ) -> PlanView:
        """Give the plan that stands for this source in place of the workspace's."""
        return _shown(await self._plans.get(who.workspace, source_id), response)

    async def put_source_plan(
        self,
        who: SourceWriter,
        source_id: UUID,
        plan: TrackingPlan,
        response: Response,
        if_match: IfMatch = None,
    ) -> PlanView:
        """Set it; every process acts by it within two seconds."""
        return await self._put(who, source_id, plan, response, if_match)

    async def delete_source_plan(
        self, who: SourceWriter, source_id: UUID, if_match: IfMatch = None
    ) -> None:
        """Remove it: the workspace's stands for the source again."""
        await self._delete(who, source_id, if_match)

    async def report(
        self,
        who: SourceReader,
        source: UUID | None = None,
        event: Annotated[str | None, Query(max_length=256, pattern=r"^[^\x00]*$")] = None,
        limit: Limit = 100,
    ) -> ViolationReport:
        """Count by source, event, version, place, rule and what became of it."""
        found = await self._plans.violations(
            who.workspace, source=None if source is None else str(source), event=event, limit=limit
        )
        views = [
            ViolationView.model_validate({n: getattr(it, n) for n in it.__struct_fields__})
            for it in found
        ]
        return ViolationReport(violations=views)

    async def reset(self, who: SourceWriter) -> None:
        """Remove the counts, for example after a new version of the site."""
        await self._plans.forget_violations(who.workspace)

    async def _put(
        self,
        who: SourceWriter,
        source: UUID | None,
        plan: TrackingPlan,
        response: Response,
        if_match: str | None,
    ) -> PlanView:
        stored = await self._plans.put(
            workspace_of(who), source, plan, who.subject, versions=versions_of(if_match)
        )
        await follow(self._keyring)
        return _shown(stored, response)

    async def _delete(self, who: SourceWriter, source: UUID | None, if_match: str | None) -> None:
        await self._plans.delete(who.workspace, source, versions=versions_of(if_match))
        await follow(self._keyring)


def _shown(stored: StoredPlan, response: Response) -> PlanView:
    response.headers.update(etag(stored.version))
    return PlanView.of(stored)
