"""The route by which subscribers of the river get the keys that its values are sealed with."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from clm_common.contracts.sealing import EVERYWHERE, MOST_KEYS, SCOPE
from clm_common.errors import Rejected
from clm_common.runtime.models import Answer
from clm_common.runtime.tokens import Principal, require
from clm_stage_engine.api.parts import Behind

router: Final = APIRouter(tags=["privacy"])

Holder = Annotated[Principal, Depends(require(SCOPE))]


class WantedKeys(BaseModel):
    """Which keys are asked for."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[UUID], Field(min_length=1, max_length=MOST_KEYS)] = Field(
        description="The keys' ids, as they stand in front of sealed values."
    )


class GivenKeys(Answer):
    """Keys, all that were asked for."""

    keys: dict[UUID, str | None] = Field(
        description="By id: the key in hexadecimal digits; null where its person was erased."
    )


@router.post("/v1/journey-keys", summary="The keys that values of the river are sealed with")
async def give_keys(who: Holder, behind: Behind, body: WantedKeys) -> GivenKeys:
    """Give keys by their ids; null says that the key was deleted and nobody can read the record.

    Refused as a whole where one of them is another workspace's or nobody's: a key that is not
    known must not look like one that was deleted. Needs the scope `journey:keys`; a token for all
    workspaces names the workspace `*`.
    """
    workspace = None if who.workspace == EVERYWHERE else who.workspace
    found = await behind.keys.asked(workspace, body.ids)
    if foreign := len({*body.ids} - found.keys()):
        raise Rejected(
            403,
            "journey.keys_foreign",
            f"{foreign} of these keys belong to another workspace than the token, or are not here",
        )
    return GivenKeys(keys={it: None if key is None else key.hex() for it, key in found.items()})
