"""`python -m clm_metrics` runs the service."""

from clm_common.runtime.service import run
from clm_metrics.app import build
from clm_metrics.settings import Settings

if __name__ == "__main__":
    run("metrics", Settings, build)
