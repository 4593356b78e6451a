"""The event list: what happens next, in the contract's order (time, class, entity)."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from enum import IntEnum
from itertools import count

from mmesim.core.types import NEVER_NS

Action = Callable[[], None]


class Kind(IntEnum):
    """Classes of events at one instant, in their order (class 0, control, lives outside)."""

    STATION = 1
    FRONT_END = 2
    TIMER = 3
    DEADLINE = 4
    CLIENT = 5
    ARRIVAL = 6


class Entry:
    """One scheduled event; `cancel` makes it never happen."""

    __slots__ = ("action", "cancelled")

    def __init__(self, action: Action) -> None:
        self.action = action
        self.cancelled = False

    def cancel(self) -> None:
        """It will not happen."""
        self.cancelled = True


class Agenda:
    """Entries ordered by (time, kind, entity); equal keys in the order they were made."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, int, Entry]] = []
        self._made = count()

    def at(self, time_ns: int, kind: Kind, entity: int, action: Action) -> Entry:
        """Schedule `action`."""
        entry = Entry(action)
        heapq.heappush(self._heap, (time_ns, kind, entity, next(self._made), entry))
        return entry

    def next_ns(self) -> int:
        """Time of the next event."""
        while self._heap and self._heap[0][-1].cancelled:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else NEVER_NS

    def pop(self) -> tuple[int, Action]:
        """Take the next event: (time, action)."""
        assert self.next_ns() < NEVER_NS
        time_ns, *_, entry = heapq.heappop(self._heap)
        return time_ns, entry.action

    def has(self, *kinds: Kind) -> bool:
        """True when an event of one of these kinds is still to come."""
        return any(kind in kinds for _, kind, _, _, entry in self._heap if not entry.cancelled)
