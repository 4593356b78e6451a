"""Policies that ask two others the same question on the same state: the first decides, the second is only noted.

What the policies are told (a model became READY, or left) both are told. The second one sees the world that the first
one makes; what it would have made of it itself is for a simulation to say (:mod:`mmesim.calibrate.shadow.saved`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy

from mmesim.calibrate.shadow.tally import Tally, due
from mmesim.core.policy import (
    AdmissionPolicy,
    AutoscalingPolicy,
    Candidate,
    Candidates,
    Choice,
    EndpointView,
    EvictionPolicy,
    InstanceView,
    MetricsView,
    ModelView,
    PlacementPolicy,
    Policies,
    Prewarm,
    PrewarmPolicy,
    RoutingPolicy,
    every,
)
from mmesim.core.streams import stream


class BothEvict(EvictionPolicy):
    """Victims, keep-alive, and whether a load that lacks room waits."""

    def __init__(self, first: EvictionPolicy, second: EvictionPolicy, where: str, tally: Tally) -> None:
        self.first = first
        self.second = second
        self._kind = f"eviction ({where})"
        self._tally = tally

    def loaded(self, instance: int, model: int, now_ns: int) -> None:
        """See `EvictionPolicy`."""
        self.first.loaded(instance, model, now_ns)
        self.second.loaded(instance, model, now_ns)

    def removed(self, instance: int, model: int, now_ns: int) -> None:
        """See `EvictionPolicy`."""
        self.first.removed(instance, model, now_ns)
        self.second.removed(instance, model, now_ns)

    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterator[Candidate]:
        """The second names as many as free `need_bytes`, before anything has changed; as many of the first's count."""
        others = copy(candidates)
        others.told = {}
        second = _enough(self.second.victims(others, need_bytes, now_ns), need_bytes)
        first: list[Candidate] = []
        try:
            for victim in self.first.victims(candidates, need_bytes, now_ns):
                first.append(victim)
                yield victim
        finally:
            self._note(first, second, candidates.instance, need_bytes, now_ns)

    def _note(self, first: list[Candidate], second: list[int], instance: int, need_bytes: int, now_ns: int) -> None:
        live = _enough(first, need_bytes)
        if sum(victim.size_bytes for victim in first) < need_bytes:
            second = second[:len(live)]  # bytes were not what was short: the controller stopped before
        self._tally.note(self._kind, now_ns, sorted(live), sorted(second), f"instance {instance}", self._tally.models)

    def expires_ns(self, instance: int, model: int, touched_ns: int) -> int:
        """See `EvictionPolicy`."""
        first = self.first.expires_ns(instance, model, touched_ns)
        second = self.second.expires_ns(instance, model, touched_ns)
        about = f"{self._tally.model(model)} on instance {instance}"
        self._tally.note("keep-alive", touched_ns, first, second, about, due)
        return first

    def when_short(self, candidates: Candidates, now_ns: int) -> int:
        """See `EvictionPolicy`. The second is not asked: it may not have been short."""
        return self.first.when_short(candidates, now_ns)


def _enough(victims: Iterable[Candidate], need_bytes: int) -> list[int]:
    """The first models that free so much."""
    named: list[int] = []
    for victim in victims:
        named.append(victim.model)
        need_bytes -= victim.size_bytes
        if need_bytes <= 0:
            break
    return named


class BothRoute(RoutingPolicy):
    """Which of several copies; where one is blind and the other is not, their questions are not the same."""

    def __init__(self, first: RoutingPolicy, second: RoutingPolicy, tally: Tally) -> None:
        self.blind = first.blind
        self.spill_outstanding = first.spill_outstanding
        self.comparable = first.blind == second.blind
        self._first = first
        self._second = second
        self._tally = tally
        self._scores: list[tuple[int, int, int]] = []

    def score(self, copy: Choice, now_ns: int) -> int:
        """See `RoutingPolicy`."""
        first = self._first.score(copy, now_ns)
        if self.comparable:
            self._scores = [] if copy.position == 0 else self._scores
            self._scores.append((first, self._second.score(copy, now_ns), copy.instance))
            if copy.position == copy.offered - 1:
                self._note(copy.model, now_ns)
        return first

    def _note(self, model: int, now_ns: int) -> None:
        first = min((score, instance) for score, _, instance in self._scores)[1]
        second = min((score, instance) for _, score, instance in self._scores)[1]
        about = f"a request for {self._tally.model(model)}"
        self._tally.note("routing", now_ns, first, second, about, "instance {}".format)


class BothPlace(PlacementPolicy):
    """Where a cold model goes, and copies to add and take away."""

    def __init__(self, first: PlacementPolicy, second: PlacementPolicy, tally: Tally) -> None:
        self.period_s = first.period_s
        self.first = first
        self.second = second
        self._tally = tally

    def place(self, model: ModelView, instances: Sequence[InstanceView], now_ns: int) -> int | None:
        """See `PlacementPolicy`."""
        second = self.second.place(model, instances, now_ns)
        first = self.first.place(model, instances, now_ns)
        if len(instances) > 1 or None in (first, second):
            self._tally.note("placement", now_ns, first, second, model.spec.name,
                             lambda where: "refuses it" if where is None else f"instance {where}")
        return first

    def rearrange(self, endpoint: EndpointView, now_ns: int) -> Iterator[Prewarm]:
        """See `PlacementPolicy`."""
        second = self.second.rearrange(endpoint, now_ns) if self.second.period_s > 0 else ()
        return _planned(self._tally, "rearrangement", self.first.rearrange(endpoint, now_ns), list(second), now_ns)


class BothPrewarm(PrewarmPolicy):
    """What is loaded before it is asked for."""

    def __init__(self, first: PrewarmPolicy, second: PrewarmPolicy, tally: Tally) -> None:
        self.period_s = first.period_s
        self.first = first
        self.second = second
        self._tally = tally

    def plan(self, endpoint: EndpointView, now_ns: int) -> Iterator[Prewarm]:
        """See `PrewarmPolicy`."""
        second = list(self.second.plan(endpoint, now_ns))
        return _planned(self._tally, "prewarming", self.first.plan(endpoint, now_ns), second, now_ns)


def _planned(tally: Tally, kind: str, first: Iterable[Prewarm], second: list[Prewarm],
             now_ns: int) -> Iterator[Prewarm]:
    """What the first plans, as it is asked; the second has said already."""
    done: list[Prewarm] = []
    for plan in first:
        done.append(plan)
        yield plan
    tally.note(kind, now_ns, _sorted(done), _sorted(second), "ahead", tally.plans)


def _sorted(plans: Iterable[Prewarm]) -> list[Prewarm]:
    return sorted(plans, key=lambda plan: (plan.model, plan.load, -1 if plan.instance is None else plan.instance))


class BothAdmit(AdmissionPolicy):
    """Accept or refuse."""

    def __init__(self, first: AdmissionPolicy, second: AdmissionPolicy, tally: Tally) -> None:
        self.always = first.always and second.always  # type: ignore[misc]
        self._first = first
        self._second = second
        self._tally = tally

    def admit(self, model_outstanding: int, endpoint_outstanding: int, ready_copies: int, serving_instances: int,
              now_ns: int) -> bool:
        """See `AdmissionPolicy`."""
        asked = (model_outstanding, endpoint_outstanding, ready_copies, serving_instances, now_ns)
        first, second = (policy.always or bool(policy.admit(*asked)) for policy in (self._first, self._second))
        self._tally.note("admission", now_ns, first, second, f"{model_outstanding} in flight for the model",
                         lambda admitted: "lets it in" if admitted else "refuses it")
        return first


class Onlooker(AutoscalingPolicy):
    """Stands behind the live autoscaling policies without an opinion, and asks the second ones."""

    def __init__(self, second: tuple[AutoscalingPolicy, ...]) -> None:
        self.second = second
        self.wanted: int | None = None
        """What the second ones come to at the last publication."""
        self._min: int | None = None
        self._max: int | None = None

    def desired(self, metrics: MetricsView, now_ns: int) -> int | None:
        """Application Auto Scaling's rule over the second ones (:mod:`mmesim.core.scaling`)."""
        for policy in self.second:
            lower, upper = policy.bounds(now_ns)
            self._min, self._max = (self._min if lower is None else lower), (self._max if upper is None else upper)
        wishes = [policy.desired(metrics, now_ns) for policy in self.second]
        wanted = max((wish for wish in wishes if wish is not None), default=metrics.desired)
        lowest = metrics.min_instances if self._min is None else self._min
        self.wanted = min(max(wanted, lowest), metrics.max_instances if self._max is None else self._max)
        return None


def both(first: Policies, second: Policies, tally: Tally) -> Policies:
    """The first set in charge, the second asked beside it."""
    return Policies(
        BothRoute(first.routing, second.routing, tally), BothPlace(first.placement, second.placement, tally),
        BothEvict(first.gpu_eviction, second.gpu_eviction, "memory", tally),
        BothEvict(first.disk_eviction, second.disk_eviction, "disk", tally),
        BothPrewarm(first.prewarm, second.prewarm, tally), BothAdmit(first.admission, second.admission, tally),
        (*first.autoscaling, Onlooker(second.autoscaling)))


def give_streams(policies: Policies, seed: int) -> None:
    """Random streams by the names that the policies would have without the others (the controller knows both as one).
    """
    for names, policy in every(policies):
        policy.rng = stream(seed, "policy", *names)
