"""Placement by consistent hashing."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import ClassVar

from mmesim.core.policy import InstanceView, ModelView, PlacementPolicy
from mmesim.policies.checks import at_least

RING = 1 << 64
"""Points of the ring."""


def point(text: str) -> int:
    """Where a text lies on the ring: the same in every process."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


@dataclass
class Hash(PlacementPolicy):
    """The next instance on a hash ring after the model's name; a second copy goes to the one after.

    Consistent hashing (Karger et al., STOC '97): each instance has `virtual_nodes` points on a ring of 2^64; a model
    goes to the first instance clockwise from the point of its name. An instance that leaves moves only its own
    models, 1/n of all. Instances that hold a copy already are not offered, so further copies follow in ring order,
    always the same.
    """

    name: ClassVar[str] = "hash"

    virtual_nodes: int = 100
    """Points of an instance on the ring; the spread of shares falls as 1/sqrt(virtual_nodes)."""
    _points: dict[int, list[int]] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        at_least(1, virtual_nodes=self.virtual_nodes)

    def place(self, model: ModelView, instances: Sequence[InstanceView], now_ns: int) -> int | None:
        """The instance with the nearest point clockwise; never None."""
        start = point(model.spec.name)
        return min((self._distance(start, instance.index), instance.index) for instance in instances)[1]

    def _distance(self, start: int, instance: int) -> int:
        """Way clockwise from `start` to the instance's next point."""
        points = self._points.get(instance)
        if points is None:
            points = sorted(point(f"instance {instance} node {node}") for node in range(self.virtual_nodes))
            self._points[instance] = points
        return (points[bisect_left(points, start) % len(points)] - start) % RING
