"""The clock of a live endpoint: int nanoseconds since it began, never backwards; and when that was."""

from __future__ import annotations

import time


class Clock:
    """Monotonic, from 1: 0 stands for never in the residency table."""

    def __init__(self) -> None:
        self._zero_ns = time.monotonic_ns() - 1
        self.started_unix_ns = time.time_ns()
        """Wall-clock time of the beginning."""

    def now_ns(self) -> int:
        """Nanoseconds since the beginning."""
        return time.monotonic_ns() - self._zero_ns
