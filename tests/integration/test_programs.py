"""Programs as a shell starts them: other tests fork them from a process that has imported them."""

from __future__ import annotations

import asyncio
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "clm_engagement.fill",
        "clm_metrics.fill",
        "clm_stage_engine.changing.diff",
        "clm_stage_engine.replay",
        "clm_stage_engine.republish",
    ],
)
async def test_a_program_is_started_by_python_m_and_says_how_it_is_used(module: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, "--help"), stdout=asyncio.subprocess.PIPE
    )

    out, _ = await process.communicate()

    assert process.returncode == 0
    assert out.decode().startswith(f"usage: python -m {module} ")
