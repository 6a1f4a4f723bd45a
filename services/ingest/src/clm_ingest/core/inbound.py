"""Who may send a webhook: by a signature, or by the write key of the hook's source. Pure."""

from datetime import datetime

from msgspec import Struct

from clm_common.errors import Rejected, Unavailable
from clm_common.instant import from_datetime
from clm_ingest.core import signatures
from clm_ingest.core.signatures import Headers, Scheme


class HookKeys(Struct, frozen=True):
    """What admits the bodies that are sent to a hook.

    Attributes:
        id: stands in its address and in its touchpoints' message ids.
        workspace: the workspace's key.
        source: the id of the source that its touchpoints come from.
        mapping: the key of the mapping that reads its bodies.
        scheme: how they are signed; None if the source's write key is sent along.
        window: seconds by which the time of a signature may differ from ours.
        disabled: nothing is taken.
        sealed: it has secrets, but this process cannot decrypt them.
        secret: of both, the sender and us; None if there is none yet.
        previous: the one before, if there is one.
        previous_until: until when that one is taken.
    """

    id: str
    workspace: str
    source: str
    mapping: str
    scheme: Scheme | None
    window: int
    disabled: bool
    sealed: bool = False
    secret: str | None = None
    previous: str | None = None
    previous_until: datetime | None = None


def check_signature(
    hook: HookKeys, scheme: Scheme, headers: Headers, body: bytes, now: int
) -> None:
    """Return if a body comes from the hook's sender.

    Args:
        hook: where it was sent to.
        scheme: the hook's.
        headers: of the request, names in lower case.
        body: as it was sent.
        now: µs since 1970.

    Raises:
        Rejected: 401 if it was not signed with a secret of the hook, or not lately.
        Unavailable: the secrets cannot be read here; the sender is to try again.
    """
    if hook.sealed:
        raise Unavailable("hook.sealed", "the hook's secrets cannot be read: see CLM_SECRETS_KEY")
    if hook.secret is None:
        detail = "the hook has no secret yet; give it the sender's with `clm hook rotate`"
        raise Rejected(401, "hook.secret_missing", detail)
    taken = [hook.secret]
    in_grace = hook.previous_until is not None and now < from_datetime(hook.previous_until)
    if hook.previous is not None and in_grace:
        taken.append(hook.previous)
    signatures.verify(scheme, taken, headers, body, now=now, window=hook.window)
