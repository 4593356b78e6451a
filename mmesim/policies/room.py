"""How much memory is free for models that nobody has asked for yet."""

from __future__ import annotations

from collections.abc import Sequence

from mmesim.core.policy import InstanceView, ModelView


def need_bytes(model: ModelView) -> int:
    """What a copy takes of the scarce memory."""
    return model.spec.gpu_bytes or model.spec.host_bytes


class Room:
    """Free memory of each instance, less what its cold starts under way may still take: the largest model for each."""

    def __init__(self, models: Sequence[ModelView], instances: Sequence[InstanceView]) -> None:
        largest = max(map(need_bytes, models), default=0) if any(one.n_cold for one in instances) else 0
        self.free_bytes = {one.index: one.free_memory_bytes - one.n_cold * largest for one in instances}

    def take(self, size_bytes: int, instance: int | None = None) -> bool:
        """Set aside so much, on an instance or where most is free; False when it is not there."""
        if not self.free_bytes:
            return False
        where = max(self.free_bytes, key=lambda i: (self.free_bytes[i], -i)) if instance is None else instance
        if self.free_bytes[where] < size_bytes:
            return False
        self.free_bytes[where] -= size_bytes
        return True
