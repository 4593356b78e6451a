"""Routing and admission for tests, beside the product's own: each looks at something else.

All of them compile but the last, which the kernel has to ask in Python at each choice.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmesim.core.policy import AdmissionPolicy, RoutingPolicy
from mmesim.policies.routing.least_outstanding import LeastOutstanding
from mmesim.policies.routing.random import Random


@dataclass
class LeastBusyCopy(RoutingPolicy):
    """Fewest requests at the copy; among equals the lowest instance."""

    blind: bool = False
    spill_outstanding: int = 0

    def score(self, outstanding, instance_outstanding, last_use_ns, uses, draw, now_ns):
        return outstanding


@dataclass
class LongestUnused(RoutingPolicy):
    """The copy used least recently, a little loaded by its uses."""

    blind: bool = False
    spill_outstanding: int = 0
    uses_weight: int = 3

    def score(self, outstanding, instance_outstanding, last_use_ns, uses, draw, now_ns):
        return last_use_ns - now_ns + uses * self.uses_weight


@dataclass
class Favourite(RoutingPolicy):
    """Copies are in favour by their uses, for a while; a cold start makes a copy fall from it."""

    blind: bool = False
    spill_outstanding: int = 0

    def score(self, outstanding, instance_outstanding, last_use_ns, uses, draw, now_ns):
        return (draw & 7) - uses % 8


@dataclass
class Interpreted(RoutingPolicy):
    """The digits of the draw, which no compiler takes."""

    blind: bool = False
    spill_outstanding: int = 0

    def score(self, outstanding, instance_outstanding, last_use_ns, uses, draw, now_ns):
        return int(f"{draw:020d}"[-3:]) + outstanding


ROUTING = (LeastBusyCopy, LeastOutstanding, Random, LongestUnused, Favourite, Interpreted)


@dataclass
class InterpretedLimit(AdmissionPolicy):
    """At most so many invocations in the endpoint; no compiler takes it."""

    most: int = 10

    def admit(self, model_outstanding, endpoint_outstanding, ready_copies, serving_instances, now_ns):
        return int(f"{endpoint_outstanding:d}") < self.most
