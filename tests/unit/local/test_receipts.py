"""`clm profile erase` waits for the receipt to be whole, and tells what it says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from uuid import UUID

import pytest

from clm_local.cli import connecting, profile
from clm_local.people import Receipt, Stored, Topic

DONE = datetime(2026, 11, 26, 12, tzinfo=UTC)
STORES = [Stored("stage-engine", DONE)]
TOPICS = [Topic("clm.journey", DONE, sealed=True), Topic("clm.touchpoints", DONE)]


class Engine:
    """Gives one receipt after the other, as an erasure goes on."""

    def __init__(self, *receipts: Receipt) -> None:
        self.receipts: Iterator[Receipt] = iter(receipts)

    def find(self, _: str) -> UUID:
        return UUID(int=1)

    def erase(self, _: UUID, __: str) -> Receipt:
        return next(self.receipts)

    def receipt(self, _: UUID) -> Receipt:
        return next(self.receipts)


def test_an_erasure_is_told_when_its_topics_are_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Engine(
        Receipt(UUID(int=2), "pending", [], []),
        Receipt(UUID(int=2), "erased", STORES, []),
        Receipt(UUID(int=2), "erased", STORES, TOPICS),
    )

    def to(_: object) -> AbstractContextManager[Engine]:
        return nullcontext(engine)

    monkeypatch.setattr(connecting, "to", to)
    monkeypatch.setattr(profile, "_LOOK", 0.0)

    profile.erase("ada", "by letter", sure=True, seconds=30)

    told = capsys.readouterr().out
    assert "stage-engine: 2026-11-26 12:00:00" in told
    assert "clm.journey: sealed, read by nobody any more" in told
    assert "clm.touchpoints: clean by 2026-11-26" in told
