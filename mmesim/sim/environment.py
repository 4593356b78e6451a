"""SimPy's clock in whole nanoseconds."""

from __future__ import annotations

from operator import index

import simpy
from simpy.events import NORMAL, Event


class NanosecondEnvironment(simpy.Environment):
    """An environment whose delays are integers; anything else is refused, so that no time is ever rounded twice."""

    def __init__(self) -> None:
        super().__init__(initial_time=0)

    def schedule(self, event: Event, priority: int = NORMAL, delay: int = 0) -> None:
        """As in SimPy. Raises TypeError for a delay that is not a whole number of nanoseconds."""
        try:
            super().schedule(event, priority, index(delay))
        except TypeError:
            raise TypeError(f"a delay is a whole number of nanoseconds, not {delay!r}: use mmesim.units.ns") from None

    def move_to(self, time_ns: int) -> None:
        """Set the clock forward to an instant before the next scheduled event."""
        assert self._now <= time_ns <= self.peek(), f"{time_ns} is not between {self._now} and {self.peek()}"
        self._now = time_ns
