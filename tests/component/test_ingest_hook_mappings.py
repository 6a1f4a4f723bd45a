"""The suite of every webhook mapping: those that ship, and those of a folder of one's own.

    CLM_INGEST_HOOK_DIR=FOLDER make test ARGS=tests/component/test_ingest_hook_mappings.py

The samples of a mapping stand in `KEY.json`: beside `KEY.yaml` in a folder of one's own, in
`hooks/` here for those that ship. Each has the `headers` and the `body` of a request, and what it
`becomes`.
"""

import json
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from clm_ingest.core.hooks import touchpoints_of
from clm_ingest.routes_hooks import mappings
from tests.support.ingest_world import BASIC, IngestWorld

Sample = dict[str, Any]  # Any: JSON

HERE: Final = Path(__file__).with_name("hooks")
OWN: Final = Path(folder) if (folder := os.environ.get("CLM_INGEST_HOOK_DIR")) else None
MAPPINGS: Final = mappings(OWN)


def samples_of(key: str) -> list[Sample]:
    """Give a mapping's samples; one that has none fails."""
    folder = OWN if OWN is not None and (OWN / f"{key}.yaml").exists() else HERE
    file = folder / f"{key}.json"
    assert file.exists(), f"the mapping {key} has no samples: write {file}"
    found: list[Sample] = json.loads(file.read_text())
    return found


CASES: Final = [(key, sample) for key in MAPPINGS for sample in samples_of(key)]


@pytest.fixture
async def world() -> AsyncGenerator[IngestWorld]:
    world = IngestWorld(mappings=MAPPINGS)
    await world.keyring.refresh()
    yield world
    await world.http.aclose()


async def send(world: IngestWorld, key: str, sample: Sample) -> httpx.Response:
    return await world.post(
        f"/v1/hooks/{key}", sample["body"], headers={**BASIC, **sample["headers"]}
    )


@pytest.mark.parametrize(("key", "sample"), CASES)
async def test_a_sample_becomes_the_touchpoints_that_stand_beside_it(
    world: IngestWorld, key: str, sample: Sample
) -> None:
    answer = await send(world, key, sample)

    landed = [json.loads(it.value or b"") for it in world.landed()]
    assert answer.status_code == 200
    assert answer.json() == {"success": True} | ({} if landed else {"ignored": True})
    assert len(landed) == len(sample["becomes"])
    for touchpoint, wanted in zip(landed, sample["becomes"], strict=True):
        assert {name: touchpoint.get(name) for name in wanted} == wanted
    assert not any("ce_untimed" in dict(it.headers) for it in world.landed())


@pytest.mark.parametrize("key", MAPPINGS)
async def test_each_touchpoint_of_a_mapping_has_a_sample_and_ids_tell_them_apart(key: str) -> None:
    made = [
        it["messageId"]
        for sample in samples_of(key)
        for it in touchpoints_of(
            MAPPINGS[key], sample["headers"], json.dumps(sample["body"]).encode()
        )
    ]

    places = {it.rpartition("-")[2] for it in made}
    assert places == {str(it) for it in range(len(MAPPINGS[key].touchpoints))}


@pytest.mark.parametrize(("key", "sample"), CASES)
async def test_a_redelivery_carries_the_same_ids(
    world: IngestWorld, key: str, sample: Sample
) -> None:
    await send(world, key, sample)
    first = [dict(it.headers)["ce_id"] for it in world.landed()]

    await send(world, key, sample)

    assert [dict(it.headers)["ce_id"] for it in world.landed()] == first * 2
