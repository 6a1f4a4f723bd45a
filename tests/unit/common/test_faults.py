"""What the driver's errors mean to us."""

from __future__ import annotations

import asyncpg
import pytest
from sqlalchemy import exc as sa

from clm_common.errors import ClmError, RaceLost, SettingsError, Unavailable
from clm_common.store.faults import translate, translated

E = asyncpg.exceptions


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        (ConnectionRefusedError(111, "refused"), Unavailable),
        (TimeoutError(), Unavailable),
        (E.CannotConnectNowError("the database system is starting up"), Unavailable),
        (E.AdminShutdownError("terminating connection"), Unavailable),
        (E.CrashShutdownError("crash of another server process"), Unavailable),
        (E.ConnectionDoesNotExistError("connection was closed"), Unavailable),
        (E.TooManyConnectionsError("sorry, too many clients already"), Unavailable),
        (E.DiskFullError("No space left on device"), Unavailable),
        (E.TransactionTimeoutError("transaction timeout"), Unavailable),
        (E.ReadOnlySQLTransactionError("in recovery"), Unavailable),
        (E.InterfaceError("connection is closed"), Unavailable),
        (E.InternalClientError("cannot switch to state 12"), Unavailable),
        (RuntimeError("unable to perform …; the handler is closed"), Unavailable),
        (sa.OperationalError("SELECT 1", {}, ConnectionRefusedError()), Unavailable),
        (E.SerializationError("could not serialize access"), RaceLost),
        (E.DeadlockDetectedError("deadlock detected"), RaceLost),
        (E.InvalidPasswordError("password authentication failed"), SettingsError),
        (E.InvalidCatalogNameError('database "x" does not exist'), SettingsError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_of_the_driver_gets_its_fate(error: Exception, fate: type[ClmError]) -> None:
    assert type(translate(error)) is fate


@pytest.mark.parametrize(
    "error",
    [
        E.UniqueViolationError("duplicate key"),
        E.UndefinedTableError("no such table"),
        E.InterfaceError("another operation is in progress"),
        RuntimeError("generator ignored GeneratorExit"),
        LookupError("ours"),
    ],
)
def test_a_defect_stays_what_it_is(error: Exception) -> None:
    assert translate(error) is None


def test_an_error_of_ours_passes_unchanged() -> None:
    ours = Unavailable("relay.behind", "facts wait")

    with pytest.raises(Unavailable) as caught, translated():
        raise ours

    assert caught.value is ours
