"""The suite of webhook mappings, run as a company runs it on a folder of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

SUITE = "tests/component/test_ingest_hook_mappings.py"
ROOT = Path(__file__).parents[2]
MAPPING = """\
key: crm-calls
id: body.call
touchpoints:
  - when: body.type == 'call.ended'
    event: Call Ended
    userId: body.who
    timestamp: body.at
    properties:
      seconds: body.duration
"""
SAMPLE = {
    "headers": {},
    "body": {
        "type": "call.ended",
        "call": "c-1",
        "who": 7,
        "at": "2026-11-22T09:00:00Z",
        "duration": 90,
    },
    "becomes": [{"event": "Call Ended", "userId": "7", "properties": {"seconds": 90}}],
}


def suite(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it on a folder."""
    arguments = ["-q", "-n", "0", "--max-suite-reruns=0", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", SUITE, *arguments],
        cwd=ROOT,
        env={**os.environ, "CLM_INGEST_HOOK_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_mapping_with_fitting_samples_passes_and_any_other_is_named(tmp_path: Path) -> None:
    tmp_path.joinpath("crm-calls.yaml").write_text(MAPPING)
    samples = tmp_path / "crm-calls.json"

    without = suite(tmp_path)
    samples.write_text(json.dumps([SAMPLE]))
    good = suite(tmp_path)
    samples.write_text(json.dumps([SAMPLE | {"becomes": [{"event": "Call Began"}]}]))
    wrong = suite(tmp_path)

    assert without.returncode != 0
    assert f"write {samples}" in without.stdout
    assert good.returncode == 0, good.stdout
    assert wrong.returncode == 1
    assert "crm-calls" in wrong.stdout
