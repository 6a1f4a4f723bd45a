"""The commands and their options; what they do is in the modules beside this one."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clm_local.cli.hook_commands import hook
from clm_local.cli.journey_commands import journey
from clm_local.cli.lifecycle_commands import lifecycle
from clm_local.cli.plan_commands import plan
from clm_local.cli.profile_commands import profile
from clm_local.cli.quarantine_commands import quarantine
from clm_local.cli.replay_commands import replay
from clm_local.cli.webhook_commands import webhook

app = typer.Typer(
    name="clm",
    help="Run the customer lifecycle management system on this machine, without Docker.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
source = typer.Typer(help="The sources of touchpoints and their write keys.", no_args_is_help=True)
token = typer.Typer(help="Bearer tokens for the APIs.", no_args_is_help=True)
app.add_typer(source, name="source")
app.add_typer(token, name="token")
app.add_typer(profile, name="profile")
app.add_typer(hook, name="hook")
app.add_typer(journey, name="journey")
app.add_typer(lifecycle, name="lifecycle")
app.add_typer(plan, name="plan")
app.add_typer(quarantine, name="quarantine")
app.add_typer(webhook, name="webhook")
app.command()(replay)

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
SourceName = Annotated[
    str, typer.Argument(help="Its name or the beginning of its id; see `clm source list`.")
]
PolicyFile = Annotated[
    str | None,
    typer.Option("--policy", help="A file (YAML or JSON) with its whole policy; - reads stdin."),
]


class Part(StrEnum):
    """Whatever has a log."""

    INGEST = "ingest"
    STAGE_ENGINE = "stage-engine"
    METRICS = "metrics"
    ENGAGEMENT = "engagement"
    KAFKA = "kafka"
    POSTGRES = "postgres"
    MAIL = "mail"
    SUPERVISOR = "supervisor"


@app.command()
def up(
    *,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay in this terminal until ctrl-C.")
    ] = False,
) -> None:
    """Start everything, and say where and how to use it. Safe to repeat."""
    from clm_local.cli import up as command

    command.run(foreground=foreground)


@app.command()
def down() -> None:
    """Stop everything, and make sure that nothing is left."""
    from clm_local.cli import down as command

    command.run()


@app.command()
def status(*, json: AsJson = False) -> None:
    """Say what runs. Ends with 0 only when all is ready."""
    from clm_local.cli import status as command

    command.run(as_json=json)


@app.command()
def logs(
    service: Annotated[Part, typer.Argument(help="Whose log.")],
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it grows.")] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="How many to begin with.")
    ] = 50,
) -> None:
    """Show the end of a log."""
    from clm_local.cli import logs as command

    command.run(service.value, follow=follow, lines=lines)


@app.command()
def doctor() -> None:
    """Look for what is missing or broken, and say how to mend it."""
    from clm_local.cli.doctor import run

    run()


@app.command()
def reset(
    *,
    yes: Yes = False,
    downloads: Annotated[
        bool, typer.Option("--downloads", help="Remove what was downloaded, too.")
    ] = False,
) -> None:
    """Stop everything and remove all data, keys and logs."""
    from clm_local.cli import down as command

    command.reset(yes=yes, downloads=downloads)


@app.command()
def demo(*, json: AsJson = False) -> None:
    """Send half a year of a shop's clickstream, and show what became of it. Safe to repeat."""
    from clm_local.cli.demo import run

    run(as_json=json)


@app.command("import")
def import_files(  # noqa: PLR0913 - the options of one command
    files: Annotated[
        list[Path], typer.Argument(help="NDJSON in Segment's form, or CSV; also gzipped (.gz).")
    ],
    *,
    field_map: Annotated[
        Path | None, typer.Option("--map", help="What the columns of a CSV are (YAML).")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing; say what would be refused and why.")
    ] = False,
    rate: Annotated[
        float | None, typer.Option("--rate", min=1, help="Events a second, at most.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--restart", help="Forget how far an earlier import came.")
    ] = False,
    url: Annotated[
        str | None, typer.Option("--url", help="Where ingest is; default: the one run here.")
    ] = None,
    write_key: Annotated[
        str | None, typer.Option("--write-key", envvar="CLM_WRITE_KEY", help="Of which source.")
    ] = None,
) -> None:
    """Import history from files; nobody is written to because of it.

    Interrupted, the same command goes on where it was.
    """
    from clm_local.cli import importing as command

    where, key = ("", "") if dry_run else command.destination_of(url, write_key)
    jobs = command.jobs_of(files, field_map, f"{where} {key}", rate=rate)
    if dry_run:
        command.rehearse(jobs)
        return
    if again:
        command.restart(jobs)
    command.send(jobs, where, key)


@source.command("create")
def source_create(
    name: Annotated[str, typer.Argument(help="What to call it.")], *, policy: PolicyFile = None
) -> None:
    """Make a source; its write key is shown once."""
    from clm_local.cli import source as command

    command.create(name, policy)


@source.command("list")
def source_list() -> None:
    """List the sources."""
    from clm_local.cli import source as command

    command.list_all()


@source.command("show")
def source_show(name: SourceName) -> None:
    """Print a source's policy as YAML."""
    from clm_local.cli import source as command

    command.show(name)


@source.command("update")
def source_update(
    name: SourceName,
    *,
    rename: Annotated[
        str | None, typer.Option("--rename", help="What to call it from now on.")
    ] = None,
    policy: PolicyFile = None,
) -> None:
    """Rename a source, or set what may be sent with its keys."""
    from clm_local.cli import source as command

    command.update(name, rename=rename, policy=policy)


@source.command("enable")
def source_enable(name: SourceName) -> None:
    """Take a disabled source's write keys again."""
    from clm_local.cli import source as command

    command.enable(name)


@source.command("rotate")
def source_rotate(name: SourceName) -> None:
    """Give a source a new write key; the old one is taken for a while."""
    from clm_local.cli import source as command

    command.rotate(name)


@source.command("disable")
def source_disable(name: SourceName, *, yes: Yes = False) -> None:
    """Refuse a source's write keys from now on."""
    from clm_local.cli import source as command

    command.disable(name, yes=yes)


@token.command("create")
def token_create(
    *,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope",
            help="What it allows, for example profiles:read; repeat for more. Default: admin.",
        ),
    ] = None,
    ttl: Annotated[
        str, typer.Option("--ttl", help="How long it is good for: 30m, 12h, 7d.")
    ] = "12h",
    subject: Annotated[str, typer.Option("--subject", help="Who uses it.")] = "clm-cli",
) -> None:
    """Print a bearer token for the workspace."""
    from clm_local.cli import token as command

    command.create(scope or ["admin"], ttl, subject)
