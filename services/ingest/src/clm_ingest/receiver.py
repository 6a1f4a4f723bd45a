"""Where webhooks are sent to: the hooks of workspaces, and mappings by their own names."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from clm_common.errors import Rejected
from clm_ingest.core.credentials import write_key_of
from clm_ingest.core.hooks import Hook
from clm_ingest.core.inbound import HookKeys, check_signature
from clm_ingest.core.request import Request
from clm_ingest.keyring import Keyring
from clm_ingest.store import Keys

_LONGEST: Final = 64


class Received(Struct, frozen=True):
    """What stands behind an address.

    Attributes:
        mapping: reads the bodies.
        identity: begins the message ids of its touchpoints.
        hook: the workspace's hook; None for a mapping by its own name, whose senders are known by
            their write keys alone.
        keys: the hook's source.
    """

    mapping: Hook
    identity: str
    hook: HookKeys | None = None
    keys: Keys | None = None


class Receiver:
    """Finds hooks and says who may send to them."""

    def __init__(self, keyring: Keyring, mappings: Mapping[str, Hook]) -> None:
        """Make it.

        Args:
            keyring: knows the hooks and the write keys.
            mappings: by key.
        """
        self._keyring = keyring
        self.mappings = mappings

    def find(self, name: str) -> Received:
        """Give what stands behind an address.

        Raises:
            Rejected: 404 if there is nothing, 403 if the hook or its source is disabled.
            Unavailable: there may be something, but the key store is away.
        """
        known = self._keyring.hook(name)
        if known is None and name in self.mappings:
            return Received(self.mappings[name], name)
        if known is None:
            self._keyring.check_fresh()
            names = ", ".join(sorted(self.mappings))
            detail = f"there is no hook {name[:_LONGEST]!r} and no mapping; there are {names}"
            raise Rejected(404, "hook.unknown", detail)
        hook, keys = known
        if hook.disabled:
            raise Rejected(403, "hook.disabled", "this hook is disabled")
        if keys.disabled:
            raise Rejected(403, "hook.source_disabled", "the source of this hook is disabled")
        return Received(self._mapping(hook.mapping), hook.id, hook, keys)

    def reread(self, workspace: str, name: str) -> Received:
        """Give what reads a body once more that a hook has taken before.

        Raises:
            Rejected: 404 if there is nothing of this name in the workspace any more.
        """
        known = self._keyring.hook(name)
        if known is not None and known[0].workspace == workspace:
            return Received(self._mapping(known[0].mapping), name, *known)
        if name in self.mappings:
            return Received(self.mappings[name], name)
        raise Rejected(404, "hook.unknown", f"there is no hook {name[:_LONGEST]!r} any more")

    def authenticate(self, received: Received, request: Request, body: bytes, now: int) -> Keys:
        """Give the source that a hook's body comes from.

        Args:
            received: the hook.
            request: its headers and query.
            body: as it was sent.
            now: µs since 1970.

        Raises:
            Rejected: 401 if the body is not signed rightly, or has not the write key.
            Unavailable: the secrets cannot be read here, or the key may exist, but the key store is
                away.
        """
        hook, keys = received.hook, received.keys
        if hook is not None and hook.scheme is not None and keys is not None:
            check_signature(hook, hook.scheme, request.headers, body, now)
            return keys
        header = request.header
        key = write_key_of(header(b"authorization"), header(b"x-write-key"), request.query)
        if key is None:
            detail = "put the write key of the source into ?writeKey=, or into Basic authentication"
            raise Rejected(401, "write_key.missing", detail)
        found = self._keyring.find(key)
        if hook is not None and found.source != hook.source:
            detail = "this write key is of another source than the hook's"
            raise Rejected(401, "write_key.other_source", detail)
        return found

    def _mapping(self, key: str) -> Hook:
        """Give a mapping by its key.

        Raises:
            Rejected: 404 if its file is not there any more.
        """
        found = self.mappings.get(key)
        if found is None:
            detail = f"the mapping {key!r} of this hook is not there; see CLM_INGEST_HOOK_DIR"
            raise Rejected(404, "hook.mapping_unknown", detail)
        return found
