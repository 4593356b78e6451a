"""Any instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from mmesim.core.policy import InstanceView, ModelView, PlacementPolicy


@dataclass
class Random(PlacementPolicy):
    """Any instance without a copy, all equally likely.

    What a balancer does that knows neither load nor content; the yardstick of placement policies. Ray Serve's choice
    for a model that no replica holds.
    """

    name: ClassVar[str] = "random"

    def place(self, model: ModelView, instances: Sequence[InstanceView], now_ns: int) -> int | None:
        """One of them, drawn."""
        return instances[int(self.rng.integers(len(instances)))].index
