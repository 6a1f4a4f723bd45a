"""Which fact is remembered in which slot, and which property in which place of it."""

from __future__ import annotations

from collections.abc import Iterable

from clm_stage_engine.core.channel import Channels
from clm_stage_engine.core.facts import reader
from clm_stage_engine.core.leaf import Want
from clm_stage_engine.core.memories import Need, Summed, Tallied, Watch
from clm_stage_engine.core.reading import Path
from clm_stage_engine.core.selector import Selector, takes
from clm_stage_engine.core.slots import Slot, name_of

_Shared = tuple[Selector, tuple[Selector, ...]]
"""What is counted, and what ends counting: one slot."""


class Layout:
    """The slots of everything that conditions need.

    Attributes:
        channels: tells the channels of touchpoints.
        watches: what each slot remembers.
        feeds: the touchpoints that change each slot.
        slots: what each slot is called, for those who read its facts later.
    """

    def __init__(self, needed: Iterable[Want | Need], channels: Channels) -> None:
        """Lay out what is needed; the same needs in any order give the same layout."""
        shared: dict[_Shared, list[Want]] = {}
        single: set[Need] = set()
        for need in needed:
            if isinstance(need, Want):
                shared.setdefault((need.of, need.resets), []).append(need)
            else:
                single.add(need)
        self.channels = channels
        self._shared = {key: number for number, key in enumerate(sorted(shared, key=repr))}
        listed = sorted(single, key=repr)
        self._single = {need: len(shared) + number for number, need in enumerate(listed)}
        self._paths = {key: _paths(wanted) for key, wanted in shared.items()}
        counted = [self._watch(key, shared[key]) for key in self._shared]
        self.watches: tuple[Watch, ...] = (*counted, *(it.watch(channels) for it in listed))
        feeds = [(of, *resets) for of, resets in self._shared]
        self.feeds = (*feeds, *(it.selectors for it in listed))
        counters = [self._slot(key, shared[key]) for key in self._shared]
        self.slots = (*counters, *(Slot(name_of(it)) for it in listed))

    def slot(self, need: Want | Need) -> int:
        """Give the slot of a fact."""
        if isinstance(need, Want):
            return self._shared[need.of, need.resets]
        return self._single[need]

    def place(self, want: Want) -> int:
        """Give the place of a want's property among the tallies of its slot."""
        return 0 if want.path is None else self._paths[want.of, want.resets].index(want.path)

    def fed_by(self, type_: str, event: str | None) -> tuple[tuple[int, Watch], ...]:
        """Give the slots that such a touchpoint may change, and how."""
        return tuple(
            (slot, self.watches[slot])
            for slot, selectors in enumerate(self.feeds)
            if any(it.may_take(type_, event) for it in selectors)
        )

    def _watch(self, key: _Shared, wanted: list[Want]) -> Watch:
        of, resets = key
        return Tallied(
            takes((of,), self.channels),
            total=any(it.total and it.path is None for it in wanted),
            keep=max(it.keep for it in wanted),
            sums=tuple(
                _summed(path, [it for it in wanted if it.path == path]) for path in self._paths[key]
            ),
            resets=takes(resets, self.channels) if resets else None,
            checked=bool(of.where or resets),
        )

    def _slot(self, key: _Shared, wanted: list[Want]) -> Slot:
        return Slot(
            name_of(key),
            any(it.total and it.path is None for it in wanted),
            tuple(
                (name_of(path), any(it.total for it in wanted if it.path == path))
                for path in self._paths[key]
            ),
        )


def _paths(wanted: Iterable[Want]) -> list[Path]:
    return sorted({it.path for it in wanted if it.path is not None})


def _summed(path: Path, wanted: list[Want]) -> Summed:
    windows = [it.window for it in wanted if it.window is not None]
    return Summed(reader(path), any(it.total for it in wanted), max(windows, default=None))
