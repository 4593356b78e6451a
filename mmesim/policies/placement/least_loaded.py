"""Placement on the least loaded instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from mmesim.core.policy import InstanceView, ModelView, PlacementPolicy


@dataclass
class LeastLoaded(PlacementPolicy):
    """Free memory first, then a disk that holds the model, then the fewest cold starts under way.

    In this order: (1) instances whose free memory takes the model, so that nothing is evicted while there is room
    elsewhere and a new, empty instance fills up; (2) those with the model's files on the disk, which saves the
    download; (3) the fewest cold starts under way, whose loads would share threads, network and disk, and whose memory
    is not yet taken off; (4) with room: the most free memory; without: the fewest requests in flight; (5) the lowest
    number. "Not full before full, then most free space" is ModelMesh's order too (its placement source, KServe).
    """

    name: ClassVar[str] = "least_loaded"

    def place(self, model: ModelView, instances: Sequence[InstanceView], now_ns: int) -> int | None:
        """The first in that order; never None."""
        need_bytes = model.spec.gpu_bytes or model.spec.host_bytes

        def order(instance: InstanceView) -> tuple[bool, bool, int, int, int]:
            full = instance.free_memory_bytes < need_bytes
            load = instance.outstanding if full else -instance.free_memory_bytes
            return full, not instance.holds(model.index), instance.n_cold, load, instance.index

        return min(instances, key=order).index
