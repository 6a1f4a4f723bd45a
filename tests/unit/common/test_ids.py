from __future__ import annotations

from uuid import uuid5

from hypothesis import given
from hypothesis import strategies as st

from clm_common.contracts import ids

TEXTS = st.text(st.characters(codec="utf-8"))


@given(TEXTS, TEXTS, TEXTS)
def test_derived_ids_are_uuids_of_version_5(workspace: str, kind: str, value: str) -> None:
    profile = ids.profile_id(workspace, kind, value)
    change = ids.change_id(profile, workspace, 5, None, value)

    assert profile == uuid5(ids.NAMESPACE, f"{workspace}:{kind}:{value}")
    assert change == uuid5(profile, f"{workspace}\x1f5\x1f\x1f{value}")
    assert ids.delivery_id(profile, kind, value, "once") == uuid5(
        profile, f"{kind}\x1f{value}\x1fonce"
    )
