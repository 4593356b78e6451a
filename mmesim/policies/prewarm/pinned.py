"""Pre-warming of pinned models."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from mmesim.core.policy import EndpointView, Prewarm, PrewarmPolicy
from mmesim.policies.checks import at_least


@dataclass
class Pinned(PrewarmPolicy):
    """Pinned models (`pin: true`) are kept READY on `copies` instances.

    Looked at every minute and when an instance joins. The n-th pinned model prefers instance n, n+1, … in turn,
    whatever is being loaded just then, so that asking twice never starts a second copy of what is on its way.
    Assumed: SageMaker offers nothing of the kind.
    """

    name: ClassVar[str] = "pinned"

    copies: int = 1
    """READY copies of each pinned model; more than there are instances: one on each."""

    def __post_init__(self) -> None:
        at_least(1, copies=self.copies)

    def plan(self, endpoint: EndpointView, now_ns: int) -> Iterable[Prewarm]:
        """A load for each copy that is missing."""
        instances = endpoint.instances
        pinned = [model.index for model in endpoint.models if model.spec.pinned]
        for rank, model in enumerate(pinned):
            turn = [instances[(rank + k) % len(instances)] for k in range(len(instances))]
            without = [instance.index for instance in turn if not instance.is_ready(model)]
            missing = self.copies - (len(turn) - len(without))
            yield from (Prewarm(instance, model) for instance in without[:max(missing, 0)])
