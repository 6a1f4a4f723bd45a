"""The commands of `clm hook` and their options; what they do is in `cli.hook`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

hook = typer.Typer(help="Where other systems send their webhooks to.", no_args_is_help=True)

HookName = Annotated[
    str, typer.Argument(help="Its name or the beginning of its id; see `clm hook list`.")
]
Secret = Annotated[
    str | None,
    typer.Option(
        "--secret", envvar="CLM_HOOK_SECRET", help="The sender's own secret; - reads stdin."
    ),
]


class Scheme(StrEnum):
    """How a sender signs."""

    STANDARD_WEBHOOKS = "standard-webhooks"
    STRIPE = "stripe"
    SHOPIFY = "shopify"
    GITHUB = "github"
    WRITE_KEY = "write-key"


@hook.command("create")
def hook_create(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    *,
    mapping: Annotated[
        str, typer.Option("--mapping", help="What reads its bodies, such as stripe-payments.")
    ],
    scheme: Annotated[Scheme, typer.Option("--scheme", help="How the sender signs.")],
    source: Annotated[
        str | None,
        typer.Option("--source", help="Where its touchpoints come from; by default a new source."),
    ] = None,
    secret: Secret = None,
) -> None:
    """Make a hook; a secret that is made for it is shown once."""
    from clm_local.cli import hook as command

    command.create(name, mapping, scheme.value, source=source, secret=secret)


@hook.command("list")
def hook_list() -> None:
    """List the hooks."""
    from clm_local.cli import hook as command

    command.list_all()


@hook.command("rotate")
def hook_rotate(
    name: HookName,
    *,
    secret: Secret = None,
    grace: Annotated[
        int, typer.Option("--grace", min=0, help="Seconds for which the present one is taken.")
    ] = 86_400,
) -> None:
    """Give a hook a new secret, or the sender's."""
    from clm_local.cli import hook as command

    command.rotate(name, secret=secret, grace=grace)


@hook.command("disable")
def hook_disable(
    name: HookName, *, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
) -> None:
    """Refuse what is sent to a hook from now on."""
    from clm_local.cli import hook as command

    command.disable(name, yes=yes)


@hook.command("enable")
def hook_enable(name: HookName) -> None:
    """Take what is sent to a hook again."""
    from clm_local.cli import hook as command

    command.enable(name)


@hook.command("test")
def hook_test(
    name: HookName,
    file: Annotated[str, typer.Argument(help="A body as it would be sent; - reads stdin.")],
    *,
    header: Annotated[
        list[str] | None,
        typer.Option("--header", "-H", help="Of the request, such as 'X-Shopify-Topic: …'."),
    ] = None,
) -> None:
    """Print the touchpoints that a body would become; nothing is sent or kept."""
    from clm_local.cli import hook as command

    command.test(name, file, header or [])
