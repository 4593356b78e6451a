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
    """Fewest requests at the copy; among equals the one READY first, to some ticks, then the lowest instance."""

    blind: bool = False
    spill_outstanding: int = 0

    def score(self, copy, now_ns):
        return copy.outstanding * 64 + min(copy.ready_in_ns // 1_000_000, 63)


@dataclass
class LongestUnused(RoutingPolicy):
    """The copy used least recently, a little loaded by its uses."""

    blind: bool = False
    spill_outstanding: int = 0
    uses_weight: int = 3

    def score(self, copy, now_ns):
        return copy.last_use_ns - now_ns + copy.uses * self.uses_weight


@dataclass
class Favourite(RoutingPolicy):
    """Copies are in favour by their uses, for a while; a cold start makes a copy fall from it."""

    blind: bool = False
    spill_outstanding: int = 0

    def score(self, copy, now_ns):
        return (copy.draw & 7) - copy.uses % 8


@dataclass
class Interpreted(RoutingPolicy):
    """The digits of the draw, which no compiler takes."""

    blind: bool = False
    spill_outstanding: int = 0

    def score(self, copy, now_ns):
        return int(f"{copy.draw:020d}"[-3:]) + copy.outstanding


@dataclass
class Sooner(RoutingPolicy):
    """Where an answer can be expected first."""

    blind: bool = False
    spill_outstanding: int = 0

    def score(self, copy, now_ns):
        return copy.ready_in_ns + copy.backlog_ns + copy.service_ns


@dataclass
class InTurn(RoutingPolicy):
    """One of the offered at random, and as many further in their circle as the model's service takes."""

    blind: bool = False
    spill_outstanding: int = 0

    def score(self, copy, now_ns):
        return (copy.position + copy.request_draw + copy.service_ns // 1_000_000) % copy.offered


@dataclass
class Everything(RoutingPolicy):
    """Whatever differs in a choice makes another score."""

    blind: bool = False
    spill_outstanding: int = 0

    def score(self, copy, now_ns):
        mixed = now_ns % 65_521
        for field in copy:
            mixed = (mixed * 31 + field) % 65_521
        return mixed


ROUTING = (LeastBusyCopy, LeastOutstanding, Random, LongestUnused, Favourite, Sooner, InTurn, Everything, Interpreted)


@dataclass
class InterpretedLimit(AdmissionPolicy):
    """At most so many invocations in the endpoint; no compiler takes it."""

    most: int = 10

    def admit(self, model_outstanding, endpoint_outstanding, ready_copies, serving_instances, now_ns):
        return int(f"{endpoint_outstanding:d}") < self.most
