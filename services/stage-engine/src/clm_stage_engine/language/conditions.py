"""How conditions are written in a lifecycle: the strict models of what stands after `when`.

Each condition is told by its one key (`event`, `count`, `silent` ...); `core()` gives what the fold
works with.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from clm_common.catalog import KEY_UNKNOWN, Strict, key_unknown
from clm_stage_engine.core import condition as c
from clm_stage_engine.language.rhythms import (
    BeenIn,
    InStage,
    LocalIs,
    RegularlyIs,
    RestartedIs,
    SequenceIs,
    Silent,
    SinceIs,
    StoppedIs,
)
from clm_stage_engine.language.scores import ScoreIs
from clm_stage_engine.language.touchpoints import (
    CampaignIs,
    ChannelIs,
    CountIs,
    DistinctIs,
    EventIs,
    FirstIs,
    LastIs,
    SourceIs,
    SumIs,
    TraitIs,
    TypeIs,
)

_KINDS: Final = (
    "event",
    "type",
    "channel",
    "source",
    "campaign",
    "count",
    "sum",
    "distinct",
    "first",
    "last",
    "since",
    "trait",
    "sequence",
    "regularly",
    "stopped",
    "restarted",
    "silent",
    "in_stage",
    "been_in",
    "score",
    "local",
    "all",
    "any",
    "not",
)
_ALIKE: Final = 0.75
"""Letters that a mistyped kind has in common with the one that was meant.

Fewer would take `and` for `any`, and `since_last`, which stands beside a kind, for `since`.
"""


class Every(Strict):
    """`all: [CONDITION, ...]`."""

    parts: Annotated[list[When], Field(alias="all", min_length=1, max_length=50)]

    def core(self) -> c.Condition:
        """Give the condition."""
        return c.AllOf(tuple(part.core() for part in self.parts))


class Some(Strict):
    """`any: [CONDITION, ...]`."""

    parts: Annotated[list[When], Field(alias="any", min_length=1, max_length=50)]

    def core(self) -> c.Condition:
        """Give the condition."""
        return c.AnyOf(tuple(part.core() for part in self.parts))


class Negated(Strict):
    """`not: CONDITION`."""

    part: Annotated[When, Field(alias="not")]

    def core(self) -> c.Condition:
        """Give the condition."""
        return c.Not(self.part.core())


def _kinds_in(value: Any) -> list[str]:  # Any: whatever stands in the file
    return [kind for kind in _KINDS if kind in value] if isinstance(value, dict) else []


def _kind_of(value: Any) -> str:  # Any: as above
    return f"<{_kinds_in(value)[0]}>"


def _of_one_kind(value: Any) -> Any:  # Any: as above
    kinds = _kinds_in(value)
    if not kinds and isinstance(value, dict):
        _refuse_mistyped(value)
    if len(kinds) != 1:
        known = ", ".join(_KINDS)
        raise ValueError(f"a condition is exactly one of {known}; combine several with all or any")
    return value


def _refuse_mistyped(value: Mapping[str, object]) -> None:
    """Return if no key looks like the kind of a condition.

    Raises:
        PydanticCustomError: the first that does so is named, with the kind.
    """
    for name in value:
        for kind in difflib.get_close_matches(name, _KINDS, n=1, cutoff=_ALIKE):
            message = {"message": key_unknown(name, kind)}
            raise PydanticCustomError(KEY_UNKNOWN, "{message}", message)


When = Annotated[
    Annotated[EventIs, Tag("<event>")]
    | Annotated[TypeIs, Tag("<type>")]
    | Annotated[ChannelIs, Tag("<channel>")]
    | Annotated[SourceIs, Tag("<source>")]
    | Annotated[CampaignIs, Tag("<campaign>")]
    | Annotated[CountIs, Tag("<count>")]
    | Annotated[SumIs, Tag("<sum>")]
    | Annotated[DistinctIs, Tag("<distinct>")]
    | Annotated[FirstIs, Tag("<first>")]
    | Annotated[LastIs, Tag("<last>")]
    | Annotated[SinceIs, Tag("<since>")]
    | Annotated[TraitIs, Tag("<trait>")]
    | Annotated[SequenceIs, Tag("<sequence>")]
    | Annotated[RegularlyIs, Tag("<regularly>")]
    | Annotated[StoppedIs, Tag("<stopped>")]
    | Annotated[RestartedIs, Tag("<restarted>")]
    | Annotated[Silent, Tag("<silent>")]
    | Annotated[InStage, Tag("<in_stage>")]
    | Annotated[BeenIn, Tag("<been_in>")]
    | Annotated[ScoreIs, Tag("<score>")]
    | Annotated[LocalIs, Tag("<local>")]
    | Annotated[Every, Tag("<all>")]
    | Annotated[Some, Tag("<any>")]
    | Annotated[Negated, Tag("<not>")],
    Discriminator(_kind_of),
    BeforeValidator(_of_one_kind),
]
