"""`python -m clm_engagement` runs the service."""

from clm_common.runtime.service import run
from clm_engagement.app import build
from clm_engagement.settings import Settings

if __name__ == "__main__":
    run("engagement", Settings, build)
