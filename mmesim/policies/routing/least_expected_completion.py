"""LEAST_EXPECTED_COMPLETION: wait for a warm copy, or load another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from mmesim.core.policy import Choice, RoutingPolicy
from mmesim.policies.checks import at_least

FOR_EVER_NS = 1 << 46
"""Longer waits (19 h) are all alike."""


@dataclass
class LeastExpectedCompletion(RoutingPolicy):
    """The instance where an answer is expected first: time to READY, work in flight there, service; ties at random.

    The scheduler of ServerlessLLM (Fu et al., OSDI '24): start-up time from the queue of loads and the tier where the
    files are, cold and warm instances on one scale; the question of CIDRE (ASPLOS '25), wait for a busy copy or start
    another. The reading here: load time expected when it began, less what has passed; the work in flight is the sum of
    the requests' times alone, as if they were served one by one. Blind: the instance that is chosen loads the model.
    Migration of running requests, which ServerlessLLM has too, is left out. A load is charged for the time it takes
    only, not for what it evicts: `cold_weight` above 1 is the guard against that.
    """

    name: ClassVar[str] = "least_expected_completion"

    cold_weight: float = 1.0
    """How much the time of a load counts against time of waiting; above 1 against loads that evict what is in use."""
    blind: bool = field(init=False, default=True)

    def __post_init__(self) -> None:
        at_least(0, cold_weight=self.cold_weight)

    def score(self, copy: Choice, now_ns: int) -> int:
        """Expected ns to the answer above, 16 random bits below."""
        wait_ns = int(copy.ready_in_ns * self.cold_weight) + copy.backlog_ns + copy.service_ns
        return (min(wait_ns, FOR_EVER_NS) << 16) + (copy.draw >> 46)
