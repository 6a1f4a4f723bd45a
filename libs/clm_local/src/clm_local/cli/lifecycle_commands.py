"""The commands of `clm lifecycle` and their options; what they do is in `cli.lifecycle`."""

from __future__ import annotations

from collections.abc import Mapping as Map
from typing import Annotated, NamedTuple
from uuid import UUID

import typer

lifecycle = typer.Typer(
    help="Lifecycles: check a definition, see what it would change, before it decides.",
    no_args_is_help=True,
)

EXAMPLES = 3
"""People shown of each kind of difference, where nobody says how many."""

MEANINGLESS = "has no meaning with --job; leave it out"

File = Annotated[str, typer.Argument(help="The definition, YAML; - reads stdin.")]
Policy = Annotated[
    str,
    typer.Option("--policy", help="For people in flight: re-derive, map, pin or drain."),
]
Mapping = Annotated[
    list[str] | None,
    typer.Option(
        "--map", metavar="OLD=NEW", help="For map and drain: the new stage of an old one."
    ),
]
OfKey = Annotated[
    str | None, typer.Option("--lifecycle", help="Of which one, by key; by default the main one.")
]


@lifecycle.command("validate")
def lifecycle_validate(
    files: Annotated[list[str], typer.Argument(help="Definitions, YAML; - reads stdin.")],
) -> None:
    """Say what is wrong with definitions: file, line, and how to mend it.

    Ends with 0 where all are right, with 65 where one is not. Nothing needs to run.
    """
    from clm_local.cli import lifecycle as command

    command.validate(files)


@lifecycle.command("diff")
def lifecycle_diff(  # noqa: PLR0913 - the options of one command
    file: Annotated[
        str | None,
        typer.Argument(help="The definition, YAML; - reads stdin; or a version's number."),
    ] = None,
    *,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            help="A version's number, a lifecycle's key or file. Default: what decides.",
        ),
    ] = None,
    workspace: Annotated[
        str | None, typer.Option("--workspace", help="Whose people. Default: the one run here.")
    ] = None,
    sample: Annotated[
        float | None,
        typer.Option("--sample", help="A share of the people: 0.01 looks at 1 in 100."),
    ] = None,
    examples: Annotated[
        int, typer.Option("--examples", min=0, max=100, help="People shown of each kind.")
    ] = EXAMPLES,
    policy: Policy = "re-derive",
    mapping: Mapping = None,
    of: OfKey = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget how far an earlier run came.")
    ] = False,
    job: Annotated[
        UUID | None, typer.Option("--job", metavar="ID", help="A version's diff, asked for before.")
    ] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Give up the one of --job.")] = False,
) -> None:
    """Say what a definition would make of everybody, over the whole history; nothing is changed.

    A file is compared here: interrupted, the same command goes on where it was. A version is
    compared by stage-engine: interrupted, it runs on, and --job ID shows it again.
    """
    given = _Diff(against, workspace, sample, examples, policy, mapping or [], of, json, restart)
    if job is not None:
        _refuse({"FILE": file}, MEANINGLESS)
        _diff_of_job(job, given, cancel=cancel)
        return
    _refuse({"--cancel": cancel}, "needs --job ID")
    if file is None:
        message = "name a definition's file or a version's number, or --job ID"
        raise typer.BadParameter(message, param_hint="FILE")
    if file.isdecimal():
        _diff_of_version(int(file), given)
    else:
        _diff_of_file(file, given)


class _Diff(NamedTuple):
    """The options of `clm lifecycle diff` that do not choose its form."""

    against: str | None
    workspace: str | None
    sample: float | None
    examples: int
    policy: str
    mapping: list[str]
    of: str | None
    json: bool
    restart: bool


def _diff_of_job(job: UUID, given: _Diff, *, cancel: bool) -> None:
    from clm_local.cli import lifecycle_jobs as command

    said = {
        "--against": given.against,
        "--lifecycle": given.of,
        "--sample": given.sample,
        "--examples": given.examples != EXAMPLES,
        "--policy": given.policy != "re-derive",
        "--map": given.mapping,
        "--workspace": given.workspace,
        "--restart": given.restart,
    }
    _refuse(said, MEANINGLESS)
    if cancel:
        command.cancel(job)
    else:
        command.follow(job, as_json=given.json)


def _diff_of_version(number: int, given: _Diff) -> None:
    from clm_local.cli import lifecycle_jobs as command
    from clm_local.lifecycles import Asked

    own = {"--workspace": given.workspace, "--restart": given.restart}
    _refuse(own, "is for a file; a version is compared in the workspace run here, as a job")
    share = 1.0 if given.sample is None else given.sample
    mapping = lifecycle_mapping(given.mapping)
    terms = Asked(_number(given.against), share, given.examples, given.policy, mapping)
    command.compare(number, terms, lifecycle=given.of, as_json=given.json)


def _diff_of_file(file: str, given: _Diff) -> None:
    from clm_local.cli import lifecycle as command

    own = {"--lifecycle": given.of}
    _refuse(own, "is for a version's number; a file says itself of which it is")
    chosen = {
        "--against": given.against,
        "--workspace": given.workspace,
        "--sample": given.sample,
        "--policy": given.policy,
    }
    options = [f"{name}={it}" for name, it in chosen.items() if it is not None]
    options += [*(f"--map={it}" for it in given.mapping), f"--examples={given.examples}"]
    options += ["--json"] if given.json else []
    command.diff(file, options, restart=given.restart)


def _refuse(given: Map[str, object], why: str) -> None:
    for name, it in given.items():
        if it:
            raise typer.BadParameter(why, param_hint=name)


def _number(against: str | None) -> int | None:
    if against is None:
        return None
    if not against.isdecimal():
        message = f"{against}: a version is held against another one, by its number"
        raise typer.BadParameter(message, param_hint="--against")
    return int(against)


@lifecycle.command("simulate")
def lifecycle_simulate(
    file: File,
    *,
    events: Annotated[
        str, typer.Option("--events", metavar="FILE", help="NDJSON in Segment's form.")
    ],
    until: Annotated[
        str | None,
        typer.Option(
            "--until", help="Let time pass up to then, 2026-11-25T10:00Z. Default: the last event."
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="The source that the events count as sent by.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each person.")
    ] = False,
) -> None:
    """Try a definition out on made-up events, deadlines included, and say why each move is taken.

    It asks no clock: the same file gives the same output, in whatever order its lines stand.
    """
    from clm_local.cli import lifecycle as command

    chosen = {"--events": events, "--until": until, "--source": source}
    options = [f"{name}={it}" for name, it in chosen.items() if it is not None]
    command.simulate(file, [*options, *(["--json"] if json else [])])


Note = Annotated[str, typer.Option("--note", help="Why; it stands in the history.")]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Do not wait until everybody is folded again.")
]


@lifecycle.command("publish")
def lifecycle_publish(  # noqa: PLR0913 - its options
    file: Annotated[str, typer.Argument(help="The definition, YAML; or a version's number.")],
    *,
    share: Annotated[
        float | None,
        typer.Option("--share", help="A canary: 0.1 decides about a tenth of the people."),
    ] = None,
    policy: Policy = "re-derive",
    mapping: Mapping = None,
    beside: Annotated[
        bool,
        typer.Option("--beside", help="Start its lifecycle beside those that run, if it does not."),
    ] = False,
    of: OfKey = None,
    note: Note = "",
    no_wait: NoWait = False,
) -> None:
    """Let a definition decide; see `clm lifecycle diff` with the same policy first.

    What becomes of people in flight the policy says. re-derive: their whole timeline is what the
    definition makes of their history. map: they keep their stage, and it decides from now on.
    pin: they stay with their version. drain: they stay until their next change of stage.
    """
    from clm_local.cli import lifecycle_versions as command
    from clm_local.lifecycles import Terms

    terms = Terms(share, policy, lifecycle_mapping(mapping), note, beside)
    command.publish(file, terms, lifecycle=of, wait=not no_wait)


def lifecycle_mapping(pairs: list[str] | None) -> dict[str, str]:
    """Read `OLD=NEW` options."""
    found: dict[str, str] = {}
    for it in pairs or ():
        old, equals, new = it.partition("=")
        if not (old and equals and new):
            message = f"{it}: write OLD=NEW, an old stage and the new one"
            raise typer.BadParameter(message, param_hint="--map")
        found[old] = new
    return found


@lifecycle.command("rollback")
def lifecycle_rollback(*, of: OfKey = None, note: Note = "", no_wait: NoWait = False) -> None:
    """End a canary; where there is none, go back to the version that decided before."""
    from clm_local.cli import lifecycle_versions as command

    command.roll_back(lifecycle=of, note=note, wait=not no_wait)


Key = Annotated[str, typer.Argument(help="The lifecycle's key.")]


@lifecycle.command("start")
def lifecycle_start(key: Key, *, note: Note = "", no_wait: NoWait = False) -> None:
    """Run a lifecycle beside the main one: everybody's history is folded by it, too."""
    from clm_local.cli import lifecycle_versions as command

    command.start(key, note=note, wait=not no_wait)


@lifecycle.command("stop")
def lifecycle_stop(key: Key, *, note: Note = "", no_wait: NoWait = False) -> None:
    """Stop a lifecycle beside the main one: its stage changes are taken back."""
    from clm_local.cli import lifecycle_versions as command

    command.stop(key, note=note, wait=not no_wait)


@lifecycle.command("history")
def lifecycle_history(*, of: OfKey = None) -> None:
    """List the versions, and when each came to decide, through whom and why."""
    from clm_local.cli import lifecycle_versions as command

    command.history(of)
