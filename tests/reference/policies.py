"""Routing and admission for tests: each looks at something else, all of them compile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mmesim.core.policy import AdmissionPolicy, RoutingPolicy


@dataclass
class LeastBusyCopy(RoutingPolicy):
    """Fewest requests at the copy; among equals the lowest instance."""

    blind: bool = False
    spill_outstanding: int = 0

    def score(self, outstanding, instance_outstanding, last_use_ns, uses, draw, now_ns):
        return outstanding


@dataclass
class LeastBusyInstance(RoutingPolicy):
    """Fewest requests at the instance, ties at random."""

    blind: bool = False
    spill_outstanding: int = 0

    def score(self, outstanding, instance_outstanding, last_use_ns, uses, draw, now_ns):
        return instance_outstanding * 16 + (draw & 15)


@dataclass
class AtRandom(RoutingPolicy):
    """Any copy."""

    blind: bool = False
    spill_outstanding: int = 0

    def score(self, outstanding, instance_outstanding, last_use_ns, uses, draw, now_ns):
        return draw


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


ROUTING = (LeastBusyCopy, LeastBusyInstance, AtRandom, LongestUnused, Favourite)


@dataclass
class Everyone(AdmissionPolicy):
    """Nobody is refused."""

    always: ClassVar[bool] = True

    def admit(self, model_outstanding, endpoint_outstanding, ready_copies, serving_instances, now_ns):
        return True


@dataclass
class AtMost(AdmissionPolicy):
    """At most so many invocations in the endpoint, and for a model with each of its copies."""

    endpoint: int = 1 << 30
    copy: int = 1 << 30

    def admit(self, model_outstanding, endpoint_outstanding, ready_copies, serving_instances, now_ns):
        fits = model_outstanding < self.copy * max(1, ready_copies)
        return fits and endpoint_outstanding < self.endpoint * serving_instances
