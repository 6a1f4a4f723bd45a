"""`python -m clm_stage_engine` runs the service."""

from clm_common.runtime.service import run
from clm_stage_engine.app import build
from clm_stage_engine.settings import Settings

if __name__ == "__main__":
    run("stage-engine", Settings, build)
