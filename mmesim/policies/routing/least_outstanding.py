"""LEAST_OUTSTANDING_REQUESTS routing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmesim.core.choice import Choice
from mmesim.core.policy import RoutingPolicy
from mmesim.policies.checks import at_least


@dataclass
class LeastOutstanding(RoutingPolicy):
    """The instance with the fewest requests in flight, of all models together; ties at random.

    `RoutingStrategy: LEAST_OUTSTANDING_REQUESTS` (SageMaker API reference, ProductionVariantRoutingConfig), which is
    join-the-shortest-queue on the router's own counts. How the service breaks ties is not published; at random loads
    equal instances equally.
    """

    name: ClassVar[str] = "least_outstanding"

    blind: bool = False
    """true: among all serving instances, wherever the model is; false: among its READY copies."""
    spill_outstanding: int = 16
    """A chosen copy with so many requests in flight makes the router wish for one more copy; 0: never."""

    def __post_init__(self) -> None:
        at_least(0, spill_outstanding=self.spill_outstanding)

    def score(self, copy: Choice, now_ns: int) -> int:
        """Requests in flight above, 36 random bits below: 2^27 requests in flight still fit into int64."""
        return (copy.instance_outstanding << 36) + (copy.draw >> 26)
