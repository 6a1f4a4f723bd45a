"""Matches: what an identify call says about who is one person, by ids whose kinds may join people.

Whoever names an email address, a phone number or an id of another system is one with all others
who name it, if `identity.yaml` lets its kind join. Each match is a decision of its own between the
shared id and the touchpoint's own identity, with the place of the first call that says so; whether
it joins anybody is for `merging` to tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from clm_stage_engine.core.deciding import Event, Identify, Said
from clm_stage_engine.core.identifiers import Identifiers
from clm_stage_engine.core.identity import Derive
from clm_stage_engine.core.merging import Decision

MATCH: Final = "match"


def matches(
    event: Event, identifiers: Identifiers, identify: Identify, derive: Derive
) -> Iterator[Said]:
    """Give the matches that an event makes, none where it names nothing that joins.

    Args:
        event: the event.
        identifiers: tells what it names, and which kinds join.
        identify: gives a decision its id.
        derive: gives an identity its id.
    """
    own = event.user or event.anonymous
    if own is None:
        return
    for it in identifiers.said(event.type, event.body):
        if it.value is None or it.kind not in identifiers.joining:
            continue
        shared = event.workspace, it.kind, it.value
        keys = {derive(*key): key for key in (shared, own)}
        yield Said(
            Decision(
                id=identify(event.workspace, MATCH, *map(str, keys)),
                workspace=event.workspace,
                kind=MATCH,
                time=event.time,
                name=event.message_id,
                members=tuple(keys),
                rank=identifiers.bounds.priorities[it.kind],
            ),
            keys,
        )
