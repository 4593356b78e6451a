"""Scheduled scaling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from mmesim.core.policy import AutoscalingPolicy, MetricsView
from mmesim.policies.checks import above_zero, at_least
from mmesim.units import ns


@dataclass(frozen=True)
class Action:
    """New bounds from a time on, once or again and again."""

    at_s: float = 0.0
    """Time since the start of the run; with every: since the start of each period."""
    every_s: float | None = None
    """Period; null: once."""
    min: int | None = None
    """Least instances from then on; null: as they were."""
    max: int | None = None
    """Most instances from then on; null: as they were."""

    def __post_init__(self) -> None:
        at_least(0, at=self.at_s, min=self.min or 0, max=self.max or 0)
        if self.every_s is not None:
            above_zero(every=self.every_s)
        if self.min is None and self.max is None:
            raise ValueError("min and max are both missing; write at least one")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min is {self.min}, above max {self.max}")

    def last_ns(self, now_ns: int) -> int | None:
        """When it last happened, up to now; None: not yet."""
        since_ns = now_ns - ns(self.at_s)
        if since_ns < 0:
            return None
        return now_ns - (since_ns % ns(self.every_s) if self.every_s else since_ns)


@dataclass
class Scheduled(AutoscalingPolicy):
    """Bounds that change by the clock; capacity follows them at once, cooldowns or not.

    Application Auto Scaling's scheduled actions (user guide, scheduled scaling): an action sets the least, the most, or
    both; the one that happened last counts, of two at one time the one written last.
    """

    name: ClassVar[str] = "scheduled"

    actions: tuple[Action, ...]
    """When (at, every) and which bounds (min, max)."""

    def __post_init__(self) -> None:
        if not self.actions:
            raise ValueError("actions is empty; write at least one, e.g. {at: 1h, min: 4}")

    def desired(self, metrics: MetricsView, now_ns: int) -> int | None:
        """No opinion: only the bounds change."""
        return None

    def bounds(self, now_ns: int) -> tuple[int | None, int | None]:
        """The least and the most that were set last; None while none was."""
        return self._last(now_ns, lambda action: action.min), self._last(now_ns, lambda action: action.max)

    def _last(self, now_ns: int, bound: Callable[[Action], int | None]) -> int | None:
        happened = [(time_ns, order, value) for order, action in enumerate(self.actions)
                    if (time_ns := action.last_ns(now_ns)) is not None and (value := bound(action)) is not None]
        return max(happened)[2] if happened else None
