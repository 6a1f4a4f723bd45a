"""Tells by the user agent whether a program crawls; the project `crawler-user-agents` has the list.

Such a touchpoint is marked, never dropped: half of a site's visits may be programs, but only the
company knows whether its own monitoring or partners are among them.
"""

from functools import lru_cache
from typing import Final

from crawleruseragents import is_crawler  # type: ignore[import-untyped] # it has no types

_LONGEST: Final = 512
"""Characters that are looked at: crawlers name themselves early, and a search has to end."""


@lru_cache(maxsize=4096)
def _crawls(user_agent: str) -> bool:
    return bool(is_crawler(user_agent))


def is_bot(user_agent: object) -> bool:
    """Tell whether what stands for a user agent names a known crawler; what is no text does not.

    There are few of them, so each is looked for once.
    """
    return isinstance(user_agent, str) and _crawls(user_agent[:_LONGEST])
