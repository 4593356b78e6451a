"""RANDOM routing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmesim.core.choice import Choice
from mmesim.core.policy import RoutingPolicy
from mmesim.policies.checks import at_least


@dataclass
class Random(RoutingPolicy):
    """Any copy, all equally likely.

    SageMaker's default (`RoutingStrategy: RANDOM`, SageMaker API reference, ProductionVariantRoutingConfig): the
    requests of a Poisson stream split into independent Poisson streams.
    """

    name: ClassVar[str] = "random"

    blind: bool = False
    """true: among all serving instances, wherever the model is; false: among its READY copies."""
    spill_outstanding: int = 16
    """A chosen copy with so many requests in flight makes the router wish for one more copy; 0: never."""

    def __post_init__(self) -> None:
        at_least(0, spill_outstanding=self.spill_outstanding)

    def score(self, copy: Choice, now_ns: int) -> int:
        """The copy's fresh random number."""
        return copy.draw
