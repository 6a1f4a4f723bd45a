"""RudderStack's own calls: what its browser SDK loads first, and `merge`.

Source: RudderStack's HTTP API specification, and what its SDKs ask for.
"""

from typing import Any, Final

from clm_ingest.core.parcel import Limits
from clm_ingest.core.request import Request
from clm_ingest.core.surrogates import paired
from clm_ingest.core.translation import (
    Fields,
    Item,
    Translated,
    Untranslatable,
    object_of,
    translate,
)

_USER_TYPES: Final = frozenset({"userid", "user_id", "anonymousid", "anonymous_id"})
_PAIR: Final = 2


def source_config_of(write_key: str, *, source: str, workspace: str) -> dict[str, Any]:  # Any: JSON
    """Give the document without which RudderStack's browser SDK sends nothing.

    Args:
        write_key: the source's key, as the browser sent it.
        source: the source's id.
        workspace: the workspace's key.
    """
    silent = {"errors": {"enabled": False}, "metrics": {"enabled": False}}
    return {
        "source": {
            "id": source,
            "name": source,
            "writeKey": write_key,
            "enabled": True,
            "workspaceId": workspace,
            "destinations": [],
            "updatedAt": "2024-01-01T00:00:00.000Z",
            "config": {"statsCollection": silent},
        }
    }


def unpack_merge(body: bytes, _request: Request, _limits: Limits) -> Translated:
    """Open a merge call: the alias of two ids of users or devices.

    A merge of anything else (two addresses, an address and a phone number) says nothing about
    whom it means here, so it is quarantined.
    """
    return translate([Item(0, body)], _alias, single=True, write_key=_write_key_in(body))


def _write_key_in(body: bytes) -> str | None:
    try:
        key = object_of(paired(body)).get("writeKey")
    except Untranslatable:
        return None
    return key if isinstance(key, str) else None


def _alias(raw: bytes) -> Fields:
    event = object_of(raw)
    pair = event.pop("mergeProperties", None)
    if not isinstance(pair, list) or len(pair) != _PAIR:
        detail = "mergeProperties must be a list of two objects with type and value"
        raise Untranslatable("touchpoint.merge_invalid", detail)
    first, second = (_id_in(each) for each in pair)
    return {**event, "type": "alias", "userId": first, "previousId": second}


def _id_in(each: object) -> object:
    if not isinstance(each, dict) or str(each.get("type")).lower() not in _USER_TYPES:
        detail = "only ids can be merged: each type must be userId or anonymousId"
        raise Untranslatable("touchpoint.merge_invalid", detail)
    return each.get("value")
