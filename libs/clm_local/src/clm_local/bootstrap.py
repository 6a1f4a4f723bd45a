"""Bring the virtual environment to what the locks say; run by path, before anything is installed.

`python bootstrap.py run` installs what the system needs to run, `dev` what its developers need on
top. What is already right is left alone: a second call costs a few milliseconds. Where the
developers' set is installed, `run` keeps it. Each step can be interrupted and repeated.
`python bootstrap.py lock [--upgrade]` resolves the locks anew.

pip's configuration (files and `PIP_*`) says where packages come from; uv is told the same, unless
`UV_*` variables say otherwise.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

LOCKS = {"run": "requirements.lock", "dev": "requirements-dev.lock"}
IMAGE_LOCK = "requirements-services.lock"
"""What the services need without the `clm` command, for their container images."""
RIVALS_LOCK = "requirements-rivals.lock"
"""What a benchmark measures us against, in an environment of its own."""
PACKAGES = (
    "libs/clm_common",
    "libs/clm_local",
    "services/ingest",
    "services/stage-engine",
    "services/metrics",
    "services/engagement",
)
OURS = (
    "clm-common",
    "clm-local",
    "clm-ingest",
    "clm-stage-engine",
    "clm-metrics",
    "clm-engagement",
)
ALONE = ("bootstrap.lock", "java.lock")
"""Locks of one wheel each, beside this file: a comment, then the wheel."""
AS_UV_SAYS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "proxy": "ALL_PROXY",
}
"""pip's settings, and the variables by which uv takes them."""
OLDER_NAMES = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}
"""Older names of two of them: a user who set one has decided, too."""


def pip_settings(listing: str) -> dict[str, str]:
    """Read what `pip config list` prints; the environment goes before the files."""
    settings: dict[str, str] = {}
    from_environment: dict[str, str] = {}
    for line in listing.splitlines():
        name, separator, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if separator and section in {"global", "install", ":env:"}:
            target = from_environment if section == ":env:" else settings
            target[key] = str(ast.literal_eval(value))
    return settings | from_environment


def uv_environment(settings: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Give the environment in which uv finds packages where pip does."""
    result = dict(environ)
    for key, variable in AS_UV_SAYS.items():
        decided = {variable, OLDER_NAMES.get(variable, variable)} & environ.keys()
        if key in settings and not decided:
            glue = "," if variable == "UV_FIND_LINKS" else " "
            result[variable] = glue.join(settings[key].split())
    if "extra-index-url" in settings:  # pip weighs all indexes alike; the hashes keep it safe
        result.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return result


def uv(*arguments: str) -> None:
    """Run uv on this interpreter's environment.

    Raises:
        subprocess.CalledProcessError: uv failed, and has said why.
    """
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    settings = pip_settings(listing)
    offline = ["--no-index"] if settings.get("no-index", "").lower() in {"1", "true", "yes"} else []
    subprocess.run(  # noqa: S603  (uv, with our own arguments)
        [
            str(Path(sys.executable).with_name("uv")),
            "pip",
            *arguments,
            *offline,
            "--python",
            sys.executable,
        ],
        check=True,
        env=uv_environment(settings, os.environ),
    )


def fingerprint(root: Path, kind: str) -> str:
    """Give a digest of everything that decides what must be installed."""
    digest = hashlib.sha256(sys.version.encode())
    for name in (LOCKS[kind], *(f"{package}/pyproject.toml" for package in PACKAGES)):
        digest.update((root / name).read_bytes())
    return digest.hexdigest()


def install(root: Path, wanted: str) -> bool:
    """Install a set, and tell whether there was anything to do."""
    state = Path(sys.prefix) / "installed.json"
    try:
        installed: dict[str, str] = json.loads(state.read_text())
    except (OSError, ValueError):
        installed = {}
    kind = "dev" if installed.get("kind") == "dev" else wanted
    if installed == {"kind": kind, "fingerprint": fingerprint(root, kind)}:
        return False
    os.chdir(root)
    state.unlink(missing_ok=True)
    print(f"Installing {LOCKS[kind]} …", flush=True)  # noqa: T201  (a person is looking)
    uv("sync", "--require-hashes", "--compile-bytecode", LOCKS[kind])
    ours = [argument for package in PACKAGES for argument in ("--editable", package)]
    uv("install", "--quiet", "--no-deps", "--no-build-isolation", *ours)
    state.write_text(json.dumps({"kind": kind, "fingerprint": fingerprint(root, kind)}))
    return True


def lock(root: Path, *options: str) -> None:
    """Resolve all locks anew; pins are kept where they still fit, unless `--upgrade` is given.

    Our own packages and the registry's address stay out of them.
    """
    os.chdir(root)
    projects = [f"{package}/pyproject.toml" for package in PACKAGES]
    ours = [part for name in OURS for part in ("--no-emit-package", name)]
    run = [*projects, "--group", "build", *ours, *options]
    _compile(*run, output=LOCKS["run"])
    services = [it for it in projects if "clm_local" not in it]
    image = [*services, "--group", "build", *ours, "--constraint", LOCKS["run"], *options]
    _compile(*image, output=IMAGE_LOCK)
    dev = [*run, "--group", "dev", "--constraint", LOCKS["run"]]
    _compile(*dev, output=LOCKS["dev"])
    _compile("--group", "rivals", *options, output=RIVALS_LOCK)
    for alone in ALONE:
        path = Path(__file__).with_name(alone)
        comment, requirement, *_ = path.read_text().splitlines()
        with tempfile.TemporaryDirectory() as scratch:
            wanted, found = Path(scratch, "wanted.in"), Path(scratch, "found.txt")
            wanted.write_text(requirement.partition(" ")[0])
            _compile(str(wanted), "--no-header", output=str(found))
            path.write_text(f"{comment}\n{found.read_text()}")


def _compile(*arguments: str, output: str) -> None:
    how = ("--universal", "--generate-hashes", "--no-emit-index-url", "--no-annotate", "--quiet")
    said = ("--python-version", "3.11", "--custom-compile-command", "make lock")
    uv("compile", *how, *said, *arguments, "--output-file", output)


def main(arguments: list[str]) -> int:
    """Install the set that is named, or make the locks."""
    wanted, *options = arguments or [""]
    if wanted not in {*LOCKS, "lock"} or (options and wanted != "lock"):
        print("usage: bootstrap.py run | dev | lock [--upgrade]", file=sys.stderr)  # noqa: T201  (a person is looking)
        return 2
    try:
        if wanted == "lock":
            lock(Path.cwd(), *options)
        else:
            install(Path.cwd(), wanted)
    except KeyboardInterrupt:
        return 130
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
