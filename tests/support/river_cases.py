"""Rivers as Hypothesis draws them."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st

from clm_common.contracts.stage_change import StageChange
from clm_common.instant import DAY, HOUR, from_rfc3339
from tests.support.river import change

STAGES = ("reach", "acquisition", "conversion", "retention")
START = from_rfc3339("2026-03-27T22:00:00Z")


@st.composite
def rivers(draw: st.DrawFn) -> list[StageChange]:
    """Some people's changes in order, a part of them retracted and asserted again later."""
    found: list[StageChange] = []
    for name in draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True)):
        at, source, version = START + draw(st.integers(0, 3 * DAY)), None, 1
        for step in range(draw(st.integers(1, 5))):
            target = draw(st.sampled_from(STAGES)) if step else "reach"
            cause = f"m-{step}" if step % 2 else None
            each = change(name, at, target, source=source, cause=cause, version=version)
            found.append(each)
            for _ in range(draw(st.integers(0, 2))):
                version += 1
                retracted = not each.retracted
                each = msgspec.structs.replace(each, version=version, retracted=retracted)
                found.append(each)
            at += draw(st.sampled_from((0, HOUR, DAY, 3 * DAY)))
            source, version = target, version + 1
    return found
