"""A sealed message of the river as the AsyncAPI document tells of it; see `sealing`.

It says enough to open one without our code, and its example comes with the key, to try that on.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Raw

from clm_common.contracts.journey import TouchpointApplied
from clm_common.contracts.sealing import KEY_BYTES, MOST_KEYS, SCOPE, TYPE, Seal, name_of
from clm_common.contracts.topics import JOURNEY

Node = dict[str, Any]  # Any: AsyncAPI is any JSON

NAME: Final = "Sealed"

CONTENT_TYPE: Final = "application/octet-stream"

HEADERS: Final = ("ce_specversion", "ce_id", "ce_source", "ce_subject")
"""Its CloudEvents attributes besides the type; when it happened (`ce_time`) is not told."""

TITLE: Final = "A fact that is read with the key of whom it is about, and by nobody without."

DESCRIPTION: Final = f"""{TITLE}

Where stage-engine runs with `CLM_JOURNEY_SEALED=true` it takes the place of every message of this
topic, and of copies made there, but `ProfileErased`: that stays plain, without `ce_time`. Plain and
sealed records may stand in one topic. `ce_type` is `{TYPE}`, `content-type` is
`{CONTENT_TYPE}`; the value begins with the byte 1, a plain one with a brace. `ce_id` is the
nonce, in hexadecimal digits.

The value, in bytes: 1 of the form (1), 16 of the key's id (a UUID), 12 of the nonce, then the
ciphertext with its tag of 16. The cipher is AES-256-GCM; its key is
HMAC-SHA256(the person's key, `clm.sealing.v1`, a zero byte, `value`). Authenticated with it are
the topic's name, a zero byte, the record's key, a zero byte, and the length of the record's key in
4 bytes, the highest first. What comes out is the JSON of the plain message.

Keys are given by stage-engine: `POST /v1/journey-keys` with `{{"ids": [...]}}`, {MOST_KEYS:,} ids
at most, and a bearer token with the scope `{SCOPE}`, of the workspace of whom it is about or
of all (`*`). The answer is `{{"keys": {{id: key}}}}`, each key {KEY_BYTES} bytes in hexadecimal
digits.

- A key that is null was deleted: its person was erased and nobody can read the record any more.
  Pass over it; the `ProfileErased` of the profile says what to delete.
- 403 `journey.keys_foreign` means that a key is another workspace's, or not known: no erasure. It
  and no answer mean waiting; do not pass over the record.
- A value that its key does not open was changed or moved here: refuse it.
- Keep keys in memory alone and for ten minutes at most, or an erasure does not take effect.
"""

PAYLOAD: Final[Node] = {
    "type": "string",
    "contentEncoding": "base16",
    "pattern": "^01([0-9a-f]{2}){44,}$",
    "description": "The value's bytes, here in hexadecimal digits; on the topic they are bytes.",
}

EXAMPLE_KEY: Final = bytes(range(32))
"""The key of the example's person."""

_WORKSPACE: Final = "shop"
_PROFILE: Final = UUID("2d0f0f0a-4c0b-5a53-9f0e-3a0f6a5b9c01")
_ORDER: Final = TouchpointApplied(
    workspace=_WORKSPACE,
    profile_id=_PROFILE,
    version=4,
    time="2026-11-22T10:00:00.000000Z",
    source="website",
    message_id="order-1001",
    touchpoint=Raw(
        b'{"type":"track","messageId":"order-1001","userId":"ada","event":"Order Completed"}'
    ),
)


def example() -> Node:
    """Give a sealed order as AsyncAPI's message example."""
    about = str(_PROFILE)
    seal = Seal(UUID("00112233-4455-6677-8899-aabbccddeeff"), EXAMPLE_KEY)
    value = seal.seal(msgspec.json.encode(_ORDER), JOURNEY.name, about.encode())
    return {
        "name": "order",
        "summary": f"An order (`TouchpointApplied`) on `{JOURNEY.name}` under the record key "
        f"`{about}`, sealed with the key `{seal.id}`, which is `{EXAMPLE_KEY.hex()}`.",
        "headers": {
            "ce_specversion": "1.0",
            "ce_source": f"/workspaces/{_WORKSPACE}/stage-engine",
            "content-type": CONTENT_TYPE,
            "ce_type": TYPE,
            "ce_subject": about,
            "ce_id": name_of(value).decode(),
        },
        "payload": value.hex(),
    }
