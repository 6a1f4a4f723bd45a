"""`python -m clm_ingest` runs the service."""

from clm_common.runtime.service import run
from clm_ingest.app import build, early
from clm_ingest.settings import Settings

if __name__ == "__main__":
    run("ingest", Settings, build, early)
