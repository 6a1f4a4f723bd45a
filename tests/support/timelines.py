"""Builders of touchpoints and lifecycles, and a small shell that folds as the service does."""

from __future__ import annotations

import json
from collections.abc import Iterable

from clm_common.instant import DAY
from clm_stage_engine import definitions
from clm_stage_engine.core.fold import (
    Change,
    State,
    Step,
    Touch,
    advance,
    fold,
    is_late,
    lapse,
    order,
    pack,
    unpack,
)
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.core.manual import ByHand, message
from clm_stage_engine.core.ours import MOVED, Occasion

START = 20_000 * DAY
"""Day 0 of every example, in 2024."""


def day(number: float) -> int:
    """Give the instant so many days after day 0."""
    return START + round(number * DAY)


def touch(
    event: str | None,
    at: float,
    message_id: str | None = None,
    *,
    kind: str = "track",
    properties: object = None,
    traits: object = None,
) -> Touch:
    """Make a touchpoint at a day (it may be a fraction)."""
    message = message_id or f"{event or kind}@{at}"
    body: dict[str, object] = {
        "type": kind,
        "event": event,
        "messageId": message,
        "properties": properties,
    }
    if traits is not None:
        body["traits"] = traits
    return Touch(day(at), message, kind, event, json.dumps(body).encode())


def decided(decision: ByHand, at: float) -> Touch:
    """Make the touchpoint of a move by hand at a day."""
    name = f"move@{at}"
    occasion = Occasion("local", "ada", None, name, day(at), day(at))
    body = message(decision, occasion).value
    return Touch(day(at), name, "move", MOVED, body)


def lifecycle(*moves: str, stages: str = "abcd") -> Lifecycle:
    """Make a lifecycle with stages of one letter, each move a YAML flow mapping."""
    listed = ", ".join(f"{{key: {stage}}}" for stage in stages)
    lines = "".join(f"  - {move}\n" for move in moves)
    return definitions.parse(
        f"key: sample\nstart: {stages[0]}\nstages: [{listed}]\nmoves:\n{lines}"
    )


def entries(step: Step[State | None] | Step[State]) -> list[tuple[float, str]]:
    """Give a timeline as (day, stage entered)."""
    return [((change.at - START) / DAY, change.target) for change in step.changes]


def run(definition: Lifecycle, *touches: Touch, until: float = 0) -> list[tuple[float, str]]:
    """Fold touchpoints in any order up to a day, and give the (day, stage entered)."""
    return entries(fold(definition, order(touches), day(until)))


def when(condition: str) -> Lifecycle:
    """Make a lifecycle of two stages with one move."""
    return lifecycle(f"{{from: a, to: b, when: {condition}}}", stages="ab")


def entered(condition: str, *touches: Touch, until: float = 0) -> float | None:
    """Give the day on which the second stage was entered."""
    timeline = run(when(condition), *touches, until=until)
    return timeline[1][0] if len(timeline) > 1 else None


def having(event: str, at: float, **properties: object) -> Touch:
    """Make a touchpoint at a day that carries these properties."""
    return touch(event, at, properties=properties)


class Shell:
    """Folds batches as the service does: in order where it can, again from the start where not.

    Between batches it keeps only bytes, as a database does.
    """

    def __init__(self, definition: Lifecycle) -> None:
        self.definition = definition
        self.history: dict[str, Touch] = {}
        self.stored: bytes | None = None
        self.changes: list[Change] = []
        self.folded_again = 0

    @property
    def state(self) -> State | None:
        """The profile's state, read back from its bytes."""
        return None if self.stored is None else unpack(self.stored)

    def receive(self, batch: Iterable[Touch]) -> None:
        """Fold a batch; repeats of a message id are dropped."""
        fresh = [it for it in order(batch) if it.message_id not in self.history]
        self.history |= {it.message_id: it for it in fresh}
        state = self.state
        if fresh and state is not None and is_late(state, fresh[0]):
            self._fold_again(state)
            return
        for it in fresh:
            step = advance(self.definition, state, it)
            state = step.state
            self.changes += step.changes
        if state is not None:
            self.stored = pack(state)

    def pass_time(self, now: int) -> None:
        """Fire what is due, as the timer does."""
        state = self.state
        if state is not None:
            step = lapse(self.definition, state, now)
            self.changes += step.changes
            self.stored = pack(step.state)

    def _fold_again(self, state: State) -> None:
        self.folded_again += 1
        step = fold(self.definition, order(self.history.values()), until=state.frontier[0])
        assert step.state is not None
        self.stored, self.changes = pack(step.state), [*step.changes]
