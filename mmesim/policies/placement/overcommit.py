"""Each model on one server, up to a little more than the server's memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from mmesim.core.policy import InstanceView, ModelView, PlacementPolicy
from mmesim.policies.checks import at_least


@dataclass
class Overcommit(PlacementPolicy):
    """A model is assigned to one instance for good, while the sum of what is assigned there stays within its memory and
    a little more; one that fits nowhere is refused.

    Seldon Core 2's agent (scheduler/pkg/agent/state_manager.go: GetAvailableMemoryBytesWithOverCommit): the most
    available memory is taken first. An assignment ends with its instance.
    """

    name: ClassVar[str] = "overcommit"

    overcommit_fraction: float = 0.1
    """Assigned beyond the memory, as a fraction of it."""
    _assigned: dict[tuple[int, int], dict[int, int]] = field(default_factory=dict, init=False, repr=False)
    """Bytes by model, for each (instance, when it joined)."""

    def __post_init__(self) -> None:
        at_least(0, overcommit_fraction=self.overcommit_fraction)

    def place(self, model: ModelView, instances: Sequence[InstanceView], now_ns: int) -> int | None:
        """The instance it is assigned to, else the one with the most left to assign that takes it."""
        need_bytes = model.spec.gpu_bytes or model.spec.host_bytes
        here = {instance.index: (instance.index, instance.joined_ns) for instance in instances}
        for index, life in here.items():
            if model.index in self._assigned.get(life, ()):
                return index
        left = {instance.index: self._left_bytes(instance) for instance in instances}
        best = max(left, key=lambda index: (left[index], -index))
        if left[best] < need_bytes:
            return None
        self._assigned.setdefault(here[best], {})[model.index] = need_bytes
        return best

    def _left_bytes(self, instance: InstanceView) -> int:
        assigned = self._assigned.get((instance.index, instance.joined_ns), {})
        return int(instance.memory_bytes * (1 + self.overcommit_fraction)) - sum(assigned.values())
