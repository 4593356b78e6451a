"""A fixed number of instances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmesim.core.policy import AutoscalingPolicy, MetricsView
from mmesim.policies.checks import at_least


@dataclass
class Fixed(AutoscalingPolicy):
    """Always the same number of instances (within the endpoint's bounds): the baseline that pays for the peak."""

    name: ClassVar[str] = "fixed"

    instances: int
    """Instances wanted."""

    def __post_init__(self) -> None:
        at_least(1, instances=self.instances)

    def desired(self, metrics: MetricsView, now_ns: int) -> int | None:
        """That number."""
        return self.instances
