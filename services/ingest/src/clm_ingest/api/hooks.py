"""The workspace's hooks: where other systems send their webhooks, and how these are signed."""

import base64
import secrets
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal, Self
from uuid import UUID, uuid4

import msgspec
from fastapi import FastAPI, Response
from pydantic import Field, SecretStr

from clm_common.errors import Rejected
from clm_common.runtime.models import Answer
from clm_ingest.api.shared import (
    Cursor,
    Document,
    Limit,
    Name,
    SourceReader,
    SourceWriter,
    etag,
    follow,
    following,
    workspace_of,
)
from clm_ingest.core import signatures
from clm_ingest.core.signatures import Scheme
from clm_ingest.keyring import Keyring
from clm_ingest.rehearsal import Rehearsal
from clm_ingest.store import Hooks, InboundHook
from clm_ingest.store.cursors import place_of
from clm_ingest.store.hooks import NewHook

_DAY: Final = 86_400
_SECRET_BYTES: Final = 32
_OWN: Final[frozenset[Scheme | None]] = frozenset(["standard-webhooks", "github"])
"""The schemes whose secrets we make, unless one is given; the other senders make their own."""

WriteKey = Literal["write-key"]
_WRITE_KEY: Final[WriteKey] = "write-key"


class HookToCreate(Document):
    """A hook to create."""

    name: Name = Field(description="What people call it; unique in the workspace.")
    source: UUID = Field(description="The source that its touchpoints come from.")
    mapping: str = Field(max_length=64, description="The mapping that reads its bodies.")
    scheme: Scheme | WriteKey = Field(
        description="How the sender signs; `write-key`: it sends the source's write key along."
    )
    secret: SecretStr | None = Field(
        default=None,
        max_length=500,
        description="The sender's secret. Left out, one is made for Standard Webhooks and GitHub; "
        "those of Stripe and Shopify are set with `rotate` once they are known.",
    )
    window_seconds: int = Field(
        default=signatures.WINDOW,
        ge=10,
        le=_DAY,
        description="By how much the time of a signature may differ from ours.",
    )


class SecretRotation(Document):
    """How a secret is replaced."""

    secret: SecretStr | None = Field(
        default=None, max_length=500, description="The new one; left out, one is made, as above."
    )
    grace_seconds: int = Field(
        default=_DAY, ge=0, le=30 * _DAY, description="How long the present one is taken still."
    )


class Sample(Document):
    """A webhook to try out."""

    headers: dict[str, str] = Field(
        default={}, max_length=100, description="Of the request, such as `X-Shopify-Topic`."
    )
    body: dict[str, Any] | str = Field(
        description="JSON, or the body's text as it would be sent."
    )  # Any: the sender's own JSON


class HookView(Answer):
    """A hook."""

    id: UUID
    name: str
    workspace: str
    source: UUID
    mapping: str
    scheme: Scheme | WriteKey
    path: str = Field(description="Where the sender posts to, below ingest's address.")
    window_seconds: int
    has_secret: bool = Field(description="Signatures can be checked.")
    created_at: datetime
    disabled_at: datetime | None = Field(description="Since when nothing is taken.")
    previous_until: datetime | None = Field(
        description="Until when the secret before the last rotation is taken."
    )
    version: int = Field(description="Changes with every change; the `ETag` names it.")

    @classmethod
    def of(cls, hook: InboundHook, **more: object) -> Self:
        """Show a hook."""
        fields = msgspec.structs.asdict(hook) | {"scheme": hook.scheme or _WRITE_KEY}
        return cls.model_validate({**fields, "path": f"/v1/hooks/{hook.id}", **more})


class HookWithSecret(HookView):
    """A hook with the secret that was made for it, which is shown this once."""

    secret: str | None = Field(description="Null if the sender's own was given, or is awaited.")


class HookPage(Answer):
    """A workspace's hooks, oldest first."""

    hooks: list[HookView]
    next: str | None = Field(
        default=None, description="The `cursor` of the next page, if there is one."
    )


class RefusedView(Answer):
    """Something that would go to the quarantine."""

    code: str = Field(description="Why, a slug.")
    detail: str


class RehearsalView(Answer):
    """What a webhook would become; nothing was sent or kept."""

    touchpoints: list[dict[str, Any]] = Field(description="In Segment's form.")  # Any: JSON
    refused: list[RefusedView] = Field(description="What would go to the quarantine.")
    ignored: bool = Field(description="The mapping has no touchpoint for it.")


class HookRoutes:
    """The routes below `/v1/admin/hooks`."""

    def __init__(self, hooks: Hooks, keyring: Keyring, rehearsal: Rehearsal) -> None:
        """Make them.

        Args:
            hooks: the table of hooks.
            keyring: has them in memory; read again after a change.
            rehearsal: tries mappings out.
        """
        self._hooks = hooks
        self._keyring = keyring
        self._rehearsal = rehearsal

    def add_to(self, app: FastAPI) -> None:
        """Add them to an app."""
        base, one = "/v1/admin/hooks", "/v1/admin/hooks/{hook_id}"
        add = partial(app.add_api_route, tags=["webhooks"])
        add(base, self.list_hooks, methods=["GET"], summary="The workspace's hooks")
        add(base, self.create_hook, methods=["POST"], status_code=201, summary="Create a hook")
        add(one, self.get_hook, methods=["GET"], summary="One hook")
        add(f"{one}/rotate", self.rotate_secret, methods=["POST"], summary="Replace a secret")
        add(f"{one}/disable", self.disable_hook, methods=["POST"], summary="Disable a hook")
        add(f"{one}/enable", self.enable_hook, methods=["POST"], summary="Enable a hook")
        add(f"{one}/test", self.test_hook, methods=["POST"], summary="Try a webhook out")

    async def list_hooks(
        self, who: SourceReader, cursor: Cursor = None, limit: Limit = 100
    ) -> HookPage:
        """List them, disabled ones included; secrets are never shown again."""
        found = await self._hooks.list(who.workspace, after=place_of(cursor), limit=limit + 1)
        page = [HookView.of(hook) for hook in found[:limit]]
        return HookPage(hooks=page, next=following(found, limit))

    async def get_hook(self, who: SourceReader, hook_id: UUID, response: Response) -> HookView:
        """Give one."""
        return _shown(await self._hooks.get(who.workspace, hook_id), response)

    async def create_hook(
        self, who: SourceWriter, new: HookToCreate, response: Response
    ) -> HookWithSecret:
        """Create it; a secret that is made for it is shown in this answer and never again."""
        scheme = None if new.scheme == _WRITE_KEY else new.scheme
        self._rehearsal.check_mapping(new.mapping)
        given = _given(scheme, new.secret)
        made = _made(scheme) if given is None else None
        hook = await self._hooks.create(
            NewHook(
                id=uuid4(),
                workspace=workspace_of(who),
                name=new.name,
                source=new.source,
                mapping=new.mapping,
                scheme=scheme,
                window_seconds=new.window_seconds,
                secret=given or made,
            )
        )
        await follow(self._keyring)
        response.headers.update(etag(hook.version))
        return HookWithSecret.of(hook, secret=made)

    async def rotate_secret(
        self,
        who: SourceWriter,
        hook_id: UUID,
        response: Response,
        rotation: SecretRotation | None = None,
    ) -> HookWithSecret:
        """Give the hook a new secret; the present one is taken until the grace ends."""
        wanted = rotation or SecretRotation()
        scheme = (await self._hooks.get(who.workspace, hook_id)).scheme
        given = _given(scheme, wanted.secret)
        made = _made(scheme) if given is None else None
        secret = given or made
        if secret is None:
            detail = "this sender makes its own secret: give it as `secret`"
            raise Rejected(422, "hook.secret_missing", detail)
        hook = await self._hooks.rotate(who.workspace, hook_id, secret, grace=wanted.grace_seconds)
        await follow(self._keyring)
        response.headers.update(etag(hook.version))
        return HookWithSecret.of(hook, secret=made)

    async def disable_hook(self, who: SourceWriter, hook_id: UUID, response: Response) -> HookView:
        """Take nothing from now on, in every process within two seconds."""
        hook = await self._hooks.disable(who.workspace, hook_id)
        await follow(self._keyring)
        return _shown(hook, response)

    async def enable_hook(self, who: SourceWriter, hook_id: UUID, response: Response) -> HookView:
        """Take what is sent again."""
        hook = await self._hooks.enable(who.workspace, hook_id)
        await follow(self._keyring)
        return _shown(hook, response)

    async def test_hook(self, who: SourceReader, hook_id: UUID, sample: Sample) -> RehearsalView:
        """Say what a webhook would become by the mapping; the tracking plan is not asked.

        No signature is needed, and nothing is sent or kept.
        """
        hook = await self._hooks.get(who.workspace, hook_id)
        text = sample.body
        body = text.encode() if isinstance(text, str) else msgspec.json.encode(text)
        headers = {name.lower(): value for name, value in sample.headers.items()}
        outcome = self._rehearsal.run(hook, headers, body)
        return RehearsalView(
            touchpoints=[msgspec.json.decode(it) for it in outcome.touchpoints],
            refused=[RefusedView(code=it.code, detail=it.detail) for it in outcome.faults],
            ignored=outcome.ignored,
        )


def _shown(hook: InboundHook, response: Response) -> HookView:
    response.headers.update(etag(hook.version))
    return HookView.of(hook)


def _given(scheme: Scheme | None, secret: SecretStr | None) -> str | None:
    """Give the secret of a request.

    Raises:
        Rejected: 422 if it is none of the scheme, or the scheme has none.
    """
    if secret is None:
        return None
    if scheme is None:
        detail = "a hook of the scheme write-key has no secret; rotate its source's write key"
        raise Rejected(422, "hook.secret_unused", detail)
    signatures.check_secret(scheme, secret.get_secret_value())
    return secret.get_secret_value()


def _made(scheme: Scheme | None) -> str | None:
    """Make a secret, where the sender does not make it."""
    if scheme not in _OWN:
        return None
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
