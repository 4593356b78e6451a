"""What the controller has to look at again at a time of its own: copies that expire, loads that were put off."""

from __future__ import annotations

from heapq import heappop, heappush

from mmesim.core.types import NEVER_NS, NONE


class Timers:
    """At most one time for each (instance, model), and one for each instance (model NONE)."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int]] = []
        self._due_ns: dict[tuple[int, int], int] = {}

    def set(self, due_ns: int, instance: int, model: int = NONE) -> None:
        """Look again at `due_ns`; an earlier time that is already set stays. NEVER_NS sets nothing."""
        if due_ns < self._due_ns.get((instance, model), NEVER_NS):
            self._due_ns[instance, model] = due_ns
            heappush(self._heap, (due_ns, instance, model))

    def next_ns(self) -> int | None:
        """When the next one is due."""
        while self._heap and self._due_ns.get(self._heap[0][1:]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self, now_ns: int) -> list[tuple[int, int]]:
        """Those that are due, as (instance, model), in order of time; they are set no more."""
        due = []
        while (at := self.next_ns()) is not None and at <= now_ns:
            _, instance, model = heappop(self._heap)
            del self._due_ns[instance, model]
            due.append((instance, model))
        return due
