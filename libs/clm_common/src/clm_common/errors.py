"""Errors named by their fate: what the runtime does with each is decided by its class.

| class | fate |
|---|---|
| `InvalidMessage` | the message goes to the dead letters, the partition goes on |
| `Unavailable` | the caller waits and tries again |
| `OwnershipLost` | the batch is dropped and the partition given up |
| `RaceLost` | the batch is decided again from what the rows say now |
| `DefinitionError` | the service refuses to start |
| `SettingsError` | the service refuses to start and names the variable |
| `Rejected` | the HTTP caller gets problem+json |

Foreign exceptions are translated to these once, in the adapter that meets them.
"""

from __future__ import annotations


class ClmError(Exception):
    """Base of all our errors: a stable slug, a sentence, and the values one needs to act."""

    def __init__(self, slug: str, message: str, **values: object) -> None:
        super().__init__(message)
        self.slug = slug
        self.message = message
        self.values = values

    def __str__(self) -> str:
        """Give the sentence, for logs and terminals."""
        return self.message


class InvalidMessage(ClmError):
    """A record or event that can never be processed; it belongs in the dead letters."""


class Unavailable(ClmError):
    """A server we depend on is away or refuses for now; wait and try again."""


class OwnershipLost(ClmError):
    """Another worker owns the partition; drop the batch, change nothing."""


class RaceLost(ClmError):
    """Another transaction changed a row that this one decided upon; decide again and retry.

    Attributes:
        rows: which rows, as far as it is known; whoever remembered them has dropped them.
    """

    rows: frozenset[object] = frozenset()


class DefinitionError(ClmError):
    """A definition (lifecycle, KPI, journey) that cannot be right; refuse to start."""


class SettingsError(ClmError):
    """A missing or wrong setting; refuse to start."""


class Rejected(ClmError):
    """A request we refuse; `status` is the HTTP status it is answered with."""

    def __init__(self, status: int, slug: str, message: str, **values: object) -> None:
        super().__init__(slug, message, **values)
        self.status = status
