"""The bodies of webhooks: JSON, or the fields of a form. Pure."""

import contextlib
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from clm_ingest.core.glimpse import UNREADABLE
from clm_ingest.core.translation import Fields, Untranslatable, object_of

_FORM: Final = "application/x-www-form-urlencoded"
_MOST_FIELDS: Final = 1_000
_WRAPPED: Final = frozenset(["payload"])

_decode: Final = msgspec.json.Decoder(dict[str, object]).decode


def body_of(content_type: str, raw: bytes) -> Fields:
    """Read a body as an object.

    The fields of a form are text; of one that is repeated, a list of texts. A form whose only
    field is `payload`, as GitHub and Slack send it, is the JSON in there.

    Args:
        content_type: of the request; anything but a form is taken for JSON, and so is a form that
            begins as JSON does: a field's name would have its bracket encoded.
        raw: the body.

    Raises:
        Untranslatable: it is no JSON object, or no form.
    """
    is_form = content_type.partition(";")[0].strip().lower() == _FORM
    if not is_form or raw.lstrip()[:1] in {b"{", b"["}:  # JSON all the same: curl says form of all
        return object_of(raw)
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise Untranslatable("hook.form_unreadable", f"the body is no form: {error}") from None
    fields: Fields = {}
    for name, value in pairs:
        known = fields.get(name)
        fields[name] = value if known is None else [*_listed(known), value]
    if fields.keys() == _WRAPPED:
        with contextlib.suppress(*UNREADABLE, TypeError):
            return dict(_decode(fields["payload"]))
    return fields


def _listed(known: object) -> list[object]:
    return [*known] if isinstance(known, list) else [known]
