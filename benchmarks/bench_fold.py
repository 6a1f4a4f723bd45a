"""Print what the fold costs per touchpoint: the `reach` lifecycle, 95 % of them irrelevant to it.

Run: `.venv/bin/python benchmarks/bench_fold.py`. Each figure is the best of several rounds.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter_ns

from clm_common.instant import DAY, MINUTE
from clm_stage_engine import definitions
from clm_stage_engine.core.fold import State, Touch, advance, fold, pack, unpack
from clm_stage_engine.core.lifecycle import Lifecycle

PEOPLE = 500
EACH = 200
ROUNDS = 7
PADDING = ',"context":{"page":{"path":"/a/b","url":"https://shop.example/a/b"},"locale":"en"}'


def body(kind: str, event: str | None, rng: random.Random) -> bytes:
    """Make a touchpoint's JSON of about 330 bytes."""
    name = f',"event":"{event}"' if event else ""
    amount = f'"revenue":{rng.randrange(500, 20_000) / 100},"currency":"EUR"'
    text = f'{{"type":"{kind}","messageId":"{rng.getrandbits(128):032x}"{name}{PADDING}'
    return f'{text},"properties":{{"order_id":"{rng.getrandbits(32)}",{amount}}}}}'.encode()


def person(number: int, relevant: float) -> list[Touch]:
    """Make one person's touchpoints, in order."""
    rng = random.Random(number)
    time = 20_000 * DAY
    found: list[Touch] = []
    for place in range(EACH):
        time += rng.randrange(1, 4 * DAY if rng.random() < 0.05 else 10 * MINUTE)
        if rng.random() < relevant:
            options = [
                ("track", "Order Completed"),
                ("track", "Product Reviewed"),
                ("identify", None),
            ]
            kind, event = rng.choices(options, (3, 1, 1))[0]
        else:
            options = [("track", "Product Viewed"), ("page", None), ("track", "Product Added")]
            kind, event = rng.choice(options)
        found.append(Touch(time, f"m-{number}-{place}", kind, event, body(kind, event, rng)))
    return found


def best(action: Callable[[], object], count: int) -> float:
    """Give the ns per item of the fastest round."""
    rounds: list[int] = []
    for _ in range(ROUNDS):
        begun = perf_counter_ns()
        action()
        rounds.append(perf_counter_ns() - begun)
    return min(rounds) / count


def stream(lifecycle: Lifecycle, people: Sequence[Sequence[Touch]]) -> list[State]:
    """Advance everybody touchpoint by touchpoint, as the live worker does."""
    states: list[State] = []
    for touches in people:
        state: State | None = None
        for touch in touches:
            state = advance(lifecycle, state, touch).state
        if state is not None:
            states.append(state)
    return states


def refold(lifecycle: Lifecycle, people: Sequence[Sequence[Touch]]) -> None:
    """Fold everybody's whole timeline, as a correction or a replay does."""
    for touches in people:
        fold(lifecycle, touches, 0)


def main() -> None:
    """Measure and print."""
    lifecycle = definitions.load()["reach"]
    for label, share in (("irrelevant", 0.0), ("5 % relevant", 0.05), ("relevant", 1.0)):
        people = [person(number, share) for number in range(PEOPLE)]
        count = PEOPLE * EACH
        live = best(partial(stream, lifecycle, people), count)
        again = best(partial(refold, lifecycle, people), count)
        print(f"{label:>14}: advance {live:7.0f} ns, re-fold {again:7.0f} ns per touchpoint")
    states = stream(lifecycle, [person(number, 0.05) for number in range(PEOPLE)])
    packed = [pack(state) for state in states]
    size = sum(map(len, packed)) / len(packed)
    writing = best(lambda: [pack(state) for state in states], len(states))
    reading = best(lambda: [unpack(data) for data in packed], len(states))
    print(f"{'state':>14}: {size:.0f} bytes, pack {writing:.0f} ns, unpack {reading:.0f} ns")


if __name__ == "__main__":
    main()
