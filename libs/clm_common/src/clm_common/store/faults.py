"""What PostgreSQL's and the driver's errors mean to us, said once."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import asyncpg

from clm_common.errors import ClmError, RaceLost, SettingsError, Unavailable

_E: Final = asyncpg.exceptions

_AWAY: Final[tuple[type[BaseException], ...]] = (
    OSError,  # refused, reset, unreachable, name not found
    TimeoutError,  # no answer within the command's time
    _E.PostgresConnectionError,  # class 08, and what the driver notices itself
    _E.OperatorInterventionError,  # class 57: starting, shutting down, crashed, terminated
    _E.InsufficientResourcesError,  # class 53: too many connections, disk or memory full
    _E.TransactionTimeoutError,
    _E.IdleInTransactionSessionTimeoutError,
    _E.LockNotAvailableError,
    _E.ReadOnlySQLTransactionError,  # a failover left us on a standby
    _E.InvalidCachedStatementError,  # a migration changed a table; the next try plans anew
    _E.OutdatedSchemaCacheError,
)
_RACES: Final = (_E.TransactionRollbackError,)  # class 40: serialization failure, deadlock
_WRONG: Final = (_E.InvalidAuthorizationSpecificationError, _E.InvalidCatalogNameError)


def translate(error: BaseException) -> ClmError | None:
    """Give our error for a foreign one; None where it is no fate of ours but a defect."""
    cause = _driver_error(error)
    if isinstance(cause, _RACES):
        return RaceLost("database.race", _first_line(cause))
    if isinstance(cause, _WRONG):
        return SettingsError(
            "database.login", f"CLM_DATABASE_URL: PostgreSQL refuses: {_first_line(cause)}"
        )
    if isinstance(cause, _AWAY) or _is_closed(cause):
        return Unavailable("database.away", f"PostgreSQL is away: {_said(cause)}")
    return None


@contextmanager
def translated() -> Generator[None]:
    """Run a block; what it raises comes out under our names.

    Raises:
        Unavailable: PostgreSQL is away, starting, full or out of time; wait and try again.
        RaceLost: a serialization failure or deadlock; roll back and decide again.
        SettingsError: PostgreSQL knows neither this login nor this database.
    """
    try:
        yield
    except ClmError:
        raise
    except Exception as error:
        if (ours := translate(error)) is None:
            raise
        raise ours from error


def _driver_error(error: BaseException) -> BaseException:
    """Dig the driver's error out of SQLAlchemy's wrappers, which call it `orig`.

    They are not named: only migrations use SQLAlchemy, whose import costs more than all else here.
    """
    wrapped = getattr(error, "orig", None)
    return wrapped.__cause__ or wrapped if isinstance(wrapped, BaseException) else error


def _is_closed(error: BaseException) -> bool:
    """Tell whether the driver complains about a connection that is gone, not about our code.

    Where the server's last word came in but the socket is still open, asyncpg cannot begin an
    operation (InternalClientError); a COPY that is fed meets uvloop's own RuntimeError. Of a
    connection that died while it was lent out the pool lets go at once.
    """
    if isinstance(error, asyncpg.InternalClientError):
        return True
    said = str(error)
    if isinstance(error, asyncpg.InterfaceError):
        return "closed" in said or "released back to the pool" in said
    return isinstance(error, RuntimeError) and "the handler is closed" in said


def _said(error: BaseException) -> str:
    if isinstance(error, asyncpg.InternalClientError):  # of which the driver tells nothing but this
        return "it ended the session, as it does with a transaction that takes too long"
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text.splitlines()[0]
