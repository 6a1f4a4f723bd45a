"""How many partitions each live worker should hold; the same answer for whoever asks."""

from __future__ import annotations

from collections.abc import Mapping


def fair_share(held: Mapping[str, int], worker: str, partitions: int) -> int:
    """Give the number of partitions a worker should hold.

    Everybody gets the quotient, and the remainder goes one each to those who hold the most already
    (by id where that is equal), so that an even distribution stays as it is.
    The shares of all workers add up to `partitions`.

    Args:
        held: what each live worker holds now; `worker` is one of them.
        worker: whose share is asked for.
        partitions: how many there are.
    """
    quotient, remainder = divmod(partitions, len(held))
    ranks = sorted(held, key=lambda each: (-held[each], each))
    return quotient + (ranks.index(worker) < remainder)
