"""The query API: stages and KPIs, always of the token's workspace and by its local days."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Annotated, Final, Literal

from fastapi import Depends, FastAPI, Query, Request

from clm_common.errors import Rejected
from clm_common.runtime.http import new_app
from clm_common.runtime.tokens import Principal, Verifier, require
from clm_metrics import views
from clm_metrics.board import Asked, Board
from clm_metrics.core.calendar import Grain

Reader = Annotated[Principal, Depends(require("metrics:read"))]

_DESCRIPTION: Final = "How many people are in each stage, enter it, and get on to the next one."


def make_app(board: Board, verifier: Verifier) -> FastAPI:
    """Make the app.

    Args:
        board: what the routes answer from.
        verifier: checks bearer tokens.
    """
    app = new_app("metrics", title="CLM metrics", description=_DESCRIPTION, version="1")
    app.state.verifier = verifier

    @app.get("/v1/stages", tags=["stages"], summary="The funnel of each lifecycle")
    async def get_stages(  # pyright: ignore[reportUnusedFunction] - the route uses it
        who: Reader,
        request: Request,
        lifecycle: Annotated[str | None, Query(description="Only this one.")] = None,
    ) -> views.Stages:
        """Give the people now, the entries and the conversion of every stage, in order."""
        _only(request, ("lifecycle",))
        return await board.stages(who.workspace, lifecycle)

    @app.get("/v1/kpis", tags=["KPIs"], summary="The catalogue of KPIs")
    async def get_catalogue(who: Reader, request: Request) -> views.Catalogue:  # noqa: ARG001  # pyright: ignore[reportUnusedFunction] - the route uses it
        """Give every KPI's definition: what it says, its parameters and its formula."""
        _only(request, ())
        return views.Catalogue(kpis=tuple(board.kpis.values()))

    @app.get(
        "/v1/kpis/{key}",
        tags=["KPIs"],
        summary="A KPI's figures",
        response_model_exclude_unset=True,
    )
    async def get_kpi(  # noqa: PLR0913, PLR0917  # pyright: ignore[reportUnusedFunction] - the route uses it; these are its parameters
        who: Reader,
        request: Request,
        key: str,
        lifecycle: Annotated[str | None, Query(description="By default the main one.")] = None,
        stage: Annotated[str | None, Query(description="Only this one.")] = None,
        start: Annotated[
            date | None, Query(alias="from", description="The first local day.")
        ] = None,
        end: Annotated[
            date | None, Query(alias="to", description="The local day after the last one.")
        ] = None,
        grain: Annotated[Grain | None, Query(description="By default `day`.")] = None,
        base: Annotated[
            Literal["first", "previous"] | None,
            Query(description="Of a conversion: the stage in the denominator."),
        ] = None,
    ) -> views.Figures:
        """Give a KPI per stage and period; the last 30 days where no range is given."""
        kpi = board.kpi(key)
        _only(request, [parameter.name for parameter in kpi.parameters])
        asked = Asked(lifecycle, stage, start, end, grain, base)
        return await board.figures(who.workspace, kpi, asked)

    return app


def _only(request: Request, known: Collection[str]) -> None:
    """Refuse a parameter that would be passed over in silence."""
    for name in request.query_params:
        if name not in known:
            advice = f"take one of {', '.join(known)}" if known else "there are none here"
            raise Rejected(
                422,
                "parameter.unknown",
                f"there is no parameter {name!r}; {advice}",
                parameter=name,
            )
