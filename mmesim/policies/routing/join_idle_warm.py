"""JOIN_IDLE_WARM: an idle warm copy, else the shortest queue of a warm one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmesim.core.policy import Choice, RoutingPolicy
from mmesim.policies.checks import at_least

MANY = (1 << 20) - 1


@dataclass
class JoinIdleWarm(RoutingPolicy):
    """The READY copy with the fewest requests for this model: an idle one if there is one; ties by the instance's load.

    Join-idle-queue (Lu et al., Performance Evaluation 68, 2011) among the copies that are loaded. There an idle server
    gets the request, and without one any: the dispatcher does not know the queues. Here it does, so without an idle
    copy the shortest queue gets it. A copy is idle when no request for its own model is in flight there, whatever the
    instance does for other models; among equals the instance with the fewest requests, then chance.
    """

    name: ClassVar[str] = "join_idle_warm"

    spill_outstanding: int = 16
    """A chosen copy with so many requests in flight makes the router wish for one more copy; 0: never."""

    def __post_init__(self) -> None:
        at_least(0, spill_outstanding=self.spill_outstanding)

    def score(self, copy: Choice, now_ns: int) -> int:
        """Requests of the model above (22 bits), of the instance (20 bits), 20 random bits below."""
        return (copy.outstanding << 40) + (min(copy.instance_outstanding, MANY) << 20) + (copy.draw >> 42)
