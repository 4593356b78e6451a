"""What a policy is: six base classes, one mandatory method each.

What policies decide from is in :mod:`mmesim.core.views` and :mod:`mmesim.core.candidates`.

Rules for a policy: parameters are dataclass fields (private state is ``field(init=False)``); it reads a view and
returns a decision; it never changes what it is shown; randomness comes only from ``self.rng``, which the endpoint
gives it; it imports :mod:`mmesim.core` and the standard library (and NumPy), nothing else. The same object then runs
in simulation, replay and live.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import ClassVar

import numpy as np

from mmesim.core.candidates import Candidate, Candidates
from mmesim.core.choice import Choice
from mmesim.core.foresight import Future
from mmesim.core.types import NEVER_NS
from mmesim.core.views import EndpointView, InstanceView, MetricsView, ModelView

__all__ = ["REFUSE", "AdmissionPolicy", "AutoscalingPolicy", "Candidate", "Candidates", "Choice",
           "ClairvoyantEviction", "EndpointView", "EvictionPolicy", "InstanceView", "MetricsView", "ModelView",
           "PlacementPolicy", "Policies", "Policy", "Prewarm", "PrewarmPolicy", "RoutingPolicy", "WrongAnswer",
           "every", "parts"]

REFUSE = 0
"""Answer of `EvictionPolicy.when_short`: the load that lacks room fails now."""


class WrongAnswer(ValueError):
    """A policy answered what its kind may not answer: a mistake in the policy."""


class Policy:
    """What all policies have: a name, and a random stream of their own that the endpoint sets."""

    name: ClassVar[str] = ""
    """Short name; empty for a user's class."""
    rng: np.random.Generator
    """Set before the first decision."""


def parts(policy: Policy) -> Iterator[tuple[str, Policy]]:
    """The policies that a policy is made of (a wrapper's inner one), by field name; each has a stream of its own."""
    if is_dataclass(policy):
        for field in fields(policy):
            inner = getattr(policy, field.name, None)
            if isinstance(inner, Policy):
                yield field.name, inner


class RoutingPolicy(Policy, ABC):
    """Which READY copy serves. Subclasses are dataclasses and may have the fields `blind` and `spill_outstanding`."""

    blind: bool = False
    """True: choose among all serving instances, wherever the model is; False: among READY copies."""
    spill_outstanding: int = 0
    """A chosen copy with at least so many requests in flight makes the router wish for one more copy; 0: never."""

    @abstractmethod
    def score(self, copy: Choice, now_ns: int) -> int:
        """Score of one copy (of one instance, if blind): the lowest wins, ties go to the lowest instance number.

        Integers in, an integer of 64 bits out, no side effect: the kernel compiles this very method; ``self`` offers
        the numeric dataclass fields only. A model's only copy is taken without asking.
        """


class AdmissionPolicy(Policy, ABC):
    """Accept or refuse a request on arrival."""

    always: ClassVar[bool] = False
    """True: never asked."""

    @abstractmethod
    def admit(self, model_outstanding: int, endpoint_outstanding: int, ready_copies: int, serving_instances: int,
              now_ns: int) -> bool:
        """True: goes on to the router; False: 503. Compiled like `RoutingPolicy.score`."""


@dataclass(frozen=True, slots=True)
class Prewarm:
    """A decision made before anybody asks: bring a model to READY on an instance, or unload an idle copy there."""

    instance: int | None
    """None (to load only): where the placement policy says."""
    model: int
    load: bool = True


class PlacementPolicy(Policy, ABC):
    """Where a cold model goes, and how many copies there are. Subclasses may set the field `period_s`."""

    period_s: float = 0.0
    """How often `rearrange` is asked; 0: never."""

    @abstractmethod
    def place(self, model: ModelView, instances: Sequence[InstanceView], now_ns: int) -> int | None:
        """Number of the instance that gets a copy: one of `instances` (serving, without one, never empty), or None."""

    def rearrange(self, endpoint: EndpointView, now_ns: int) -> Iterable[Prewarm]:
        """Hook: copies to add and to take away, every `period_s`."""
        return ()


class EvictionPolicy(Policy, ABC):
    """What leaves a memory or a disk."""

    @abstractmethod
    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        """Yields best victims first; the controller stops pulling when it has enough. Pinned, busy and loading models
        are never candidates."""

    def loaded(self, instance: int, model: int, now_ns: int) -> None:
        """Hook: the model became READY (for the disk: extracted) there."""

    def removed(self, instance: int, model: int, now_ns: int) -> None:
        """Hook: the model left, evicted or not."""

    def expires_ns(self, instance: int, model: int, touched_ns: int) -> int:
        """Hook: when an idle copy that was last touched then (a request arrived, or it became READY) leaves by itself.
        Asked for copies in memory; never for pinned ones."""
        return NEVER_NS

    def when_short(self, candidates: Candidates, now_ns: int) -> int:
        """Hook: `victims` held candidates back although the room they would leave is needed. Answer when to ask again,
        NEVER_NS to be asked at the next change only, or REFUSE to fail the load."""
        return NEVER_NS


class ClairvoyantEviction(EvictionPolicy):
    """An eviction policy that knows the requests to come: for comparison only, no real endpoint can run it."""

    future: Future
    """Set by the scenario's build before the run."""


class PrewarmPolicy(Policy, ABC):
    """What to load before it is asked for, what to unload early. Subclasses may set the field `period_s`."""

    period_s: float = 60.0

    @abstractmethod
    def plan(self, endpoint: EndpointView, now_ns: int) -> Iterable[Prewarm]:
        """Asked every `period_s`, and when an instance joins."""


class AutoscalingPolicy(Policy, ABC):
    """How many instances, from published metrics only."""

    @abstractmethod
    def desired(self, metrics: MetricsView, now_ns: int) -> int | None:
        """Instances wanted, or None for no opinion. Asked at each publication. Above the present number is a wish to
        scale out, below it one to scale in (done only if every policy with an opinion agrees)."""

    def bounds(self, now_ns: int) -> tuple[int | None, int | None]:
        """Hook: (min, max) that replace the endpoint's from now on; None keeps one."""
        return None, None


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies of one endpoint."""

    routing: RoutingPolicy
    placement: PlacementPolicy
    gpu_eviction: EvictionPolicy
    disk_eviction: EvictionPolicy
    prewarm: PrewarmPolicy
    admission: AdmissionPolicy
    autoscaling: tuple[AutoscalingPolicy, ...] = ()


def every(policies: Policies) -> Iterator[tuple[tuple[str, ...], Policy]]:
    """Each policy of an endpoint, and those they are made of, with a name of its own (``gpu_eviction``, ``around``)."""
    single = ("routing", "placement", "gpu_eviction", "disk_eviction", "prewarm", "admission")
    waiting: list[tuple[tuple[str, ...], Policy]] = [((kind,), getattr(policies, kind)) for kind in single]
    waiting += [((f"autoscaling-{n}",), policy) for n, policy in enumerate(policies.autoscaling)]
    while waiting:
        names, policy = waiting.pop()
        yield names, policy
        waiting += [((*names, field), inner) for field, inner in parts(policy)]
