"""Batches with nothing odd about them, as nearly all are, judged by column: it costs half."""

from collections.abc import Sequence
from typing import cast

from msgspec import Struct

from clm_common.contracts.touchpoint import TouchpointType
from clm_ingest.core.crawlers import is_bot
from clm_ingest.core.glimpse import Glimpse
from clm_ingest.core.timing import EARLIEST, all_exact


class Regular(Struct, frozen=True):
    """What is published of events that are all fit and need no more than that; a place for each.

    Attributes:
        kinds: their types.
        ids: their message ids.
        customers: whose they are.
        times: when they happened, as RFC 3339.
    """

    kinds: Sequence[TouchpointType]
    ids: Sequence[str]
    customers: Sequence[str]
    times: Sequence[bytes]


def regular(
    values: Sequence[bytes],
    glimpses: Sequence[Glimpse],
    *,
    most: int,
    latest: bytes,
    browser: str | None,
) -> Regular | None:
    """Judge events that say all of themselves, in the usual form.

    Args:
        values: their bytes.
        glimpses: what is read of them.
        most: bytes that an event may have.
        latest: the last instant that counts, as `latest_of` gives it.
        browser: the user agent of the browser that sent them, if it was one.

    Returns:
        None if there is anything odd about one of them: it is missing something, is too large,
        must be marked or written anew.
    """
    kinds = [seen.type for seen in glimpses]
    ids = [seen.message_id for seen in glimpses]
    customers = [seen.user_id for seen in glimpses]
    times = all_exact([seen.timestamp for seen in glimpses])
    names = [seen.event for seen in glimpses if seen.type == "track"]
    keys = [seen.write_key for seen in glimpses]
    agents = [seen.context and seen.context.user_agent for seen in glimpses]
    if (
        None in kinds
        or not all(ids)
        or not all(customers)
        or {*map(type, customers)} != {str}
        or not all(names)
        or not times
        or not EARLIEST <= min(times) <= max(times) <= latest
        or keys.count(None) < len(keys)
        or max(map(len, values)) > most
        or any(map(is_bot, filter(None, [*agents, browser])))
    ):
        return None
    return Regular(
        cast("list[TouchpointType]", kinds),
        cast("list[str]", ids),
        cast("list[str]", customers),
        times,
    )
