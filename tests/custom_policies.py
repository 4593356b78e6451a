"""A file of one's own policies, one of every kind that behaves and several that do not: written beside a scenario."""

from __future__ import annotations

from pathlib import Path

WORLD = """
name: own
seed: 3
duration: 90s
endpoint: {instance_type: ml.g4dn.2xlarge, instances: {initial: 2, min: 1, max: 3}, metrics: {period: 10s}}
models:
  - {profile: resnet50-pytorch-t4, count: 120, name: "resnet-{i:03}"}
workload:
  arrivals: {use: poisson, rate_rps: 20}
  popularity: {use: zipf, s: 0.6}
"""
"""More models than fit: all kinds of policies are asked, and a second copy of some is wanted."""

HEAD = '''
"""My own policies."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mmesim.core.policy import (
    AdmissionPolicy, AutoscalingPolicy, EvictionPolicy, PlacementPolicy, Prewarm, PrewarmPolicy, RoutingPolicy)
'''

SOUND = HEAD + '''

@dataclass
class Router(RoutingPolicy):
    """The copy with the fewest requests in flight, weighted."""

    weight: int = 2
    """How much the model's own requests count."""
    spill_outstanding: int = 1

    def score(self, copy, now_ns):
        return self.weight * copy.outstanding + copy.instance_outstanding


@dataclass
class DictRouter(RoutingPolicy):
    """The same, in words that numba cannot compile."""

    spill_outstanding: int = 1

    def score(self, copy, now_ns):
        parts = {"own": 2 * copy.outstanding, "all": copy.instance_outstanding}
        return sum(parts[name] for name in sorted(parts))


@dataclass
class Roomiest(PlacementPolicy):
    """Most free memory first."""

    def place(self, model, instances, now_ns):
        return max(instances, key=lambda one: (one.free_memory_bytes, -one.index)).index


@dataclass
class Biggest(EvictionPolicy):
    """Big ones leave first, among equals the least recently used."""

    def victims(self, candidates, need_bytes, now_ns):
        yield from candidates.ordered(-candidates.size_bytes, candidates.last_use_ns)


@dataclass
class FirstFew(PrewarmPolicy):
    """The first models stay READY somewhere."""

    first: int = 3
    """How many."""
    period_s: float = 10.0

    def plan(self, endpoint, now_ns):
        yield from (Prewarm(None, one.index) for one in endpoint.models[:self.first] if not one.n_copies)


@dataclass
class Few(AdmissionPolicy):
    """At most so many in flight for a model."""

    most: int = 3
    """In flight for one model."""

    def admit(self, model_outstanding, endpoint_outstanding, ready_copies, serving_instances, now_ns):
        return model_outstanding < self.most


@dataclass
class Busy(AutoscalingPolicy):
    """One more instance while requests come."""

    def desired(self, metrics, now_ns):
        seen = metrics.datapoints("Invocations", "Sum", 1)
        return metrics.in_service + 1 if seen and seen[-1] else None
'''

WRONG = HEAD + '''

@dataclass
class RouterRaises(RoutingPolicy):
    blind: bool = True

    def score(self, copy, now_ns):
        raise KeyError("oh")


@dataclass
class RouterFloat(RoutingPolicy):
    blind: bool = True

    def score(self, copy, now_ns):
        return copy.outstanding / 2


@dataclass
class RouterText(RoutingPolicy):
    blind: bool = True

    def score(self, copy, now_ns):
        return "least"


@dataclass
class RouterChanges(RoutingPolicy):
    blind: bool = True

    def score(self, copy, now_ns):
        copy.outstanding = 0
        return 1


@dataclass
class PlaceRaises(PlacementPolicy):
    def place(self, model, instances, now_ns):
        raise KeyError("oh")


@dataclass
class PlaceElsewhere(PlacementPolicy):
    def place(self, model, instances, now_ns):
        return 7


@dataclass
class PlaceView(PlacementPolicy):
    def place(self, model, instances, now_ns):
        return instances[0]


@dataclass
class PlaceTrue(PlacementPolicy):
    def place(self, model, instances, now_ns):
        return instances[0].index == 0


@dataclass
class PlaceChanges(PlacementPolicy):
    def place(self, model, instances, now_ns):
        instances[0].free_memory_bytes = 0
        return instances[0].index


@dataclass
class PlaceOffers(PlacementPolicy):
    def place(self, model, instances, now_ns):
        return instances.pop().index


@dataclass
class EvictRaises(EvictionPolicy):
    def victims(self, candidates, need_bytes, now_ns):
        raise KeyError("oh")


@dataclass
class EvictBusy(EvictionPolicy):
    _ready: set = field(init=False, default_factory=set)

    def loaded(self, instance, model, now_ns):
        self._ready.add((instance, model))

    def removed(self, instance, model, now_ns):
        self._ready.discard((instance, model))

    def victims(self, candidates, need_bytes, now_ns):
        here = {model for instance, model in self._ready if instance == candidates.instance}
        if busy := sorted(here - set(candidates.model.tolist())):
            yield replace(candidates[0], model=busy[0])
        yield from candidates


@dataclass
class EvictAbsent(EvictionPolicy):
    def victims(self, candidates, need_bytes, now_ns):
        absent = next(model for model in range(len(candidates.specs)) if model not in candidates.model)
        yield replace(candidates[0], model=absent)


@dataclass
class EvictText(EvictionPolicy):
    def victims(self, candidates, need_bytes, now_ns):
        yield "the oldest"


@dataclass
class EvictNumber(EvictionPolicy):
    def victims(self, candidates, need_bytes, now_ns):
        yield int(candidates.model[0])


@dataclass
class EvictNone(EvictionPolicy):
    def victims(self, candidates, need_bytes, now_ns):
        return None


@dataclass
class EvictChanges(EvictionPolicy):
    def victims(self, candidates, need_bytes, now_ns):
        candidates.last_use_ns[:] = 0
        yield from candidates


@dataclass
class EvictWhenText(EvictionPolicy):
    def victims(self, candidates, need_bytes, now_ns):
        return ()

    def when_short(self, candidates, now_ns):
        return "soon"


@dataclass
class EvictExpiresText(EvictionPolicy):
    def victims(self, candidates, need_bytes, now_ns):
        yield from candidates

    def expires_ns(self, instance, model, touched_ns):
        return "never"


@dataclass
class WarmRaises(PrewarmPolicy):
    def plan(self, endpoint, now_ns):
        raise KeyError("oh")


@dataclass
class WarmMissing(PrewarmPolicy):
    def plan(self, endpoint, now_ns):
        yield Prewarm(None, 1200)


@dataclass
class WarmNumber(PrewarmPolicy):
    def plan(self, endpoint, now_ns):
        yield 3


@dataclass
class WarmText(PrewarmPolicy):
    def plan(self, endpoint, now_ns):
        yield Prewarm(0, "resnet-001")


@dataclass
class WarmNone(PrewarmPolicy):
    def plan(self, endpoint, now_ns):
        return None


@dataclass
class WarmChanges(PrewarmPolicy):
    def plan(self, endpoint, now_ns):
        endpoint.model_uses[:] = 0
        return ()


@dataclass
class AdmitRaises(AdmissionPolicy):
    def admit(self, model_outstanding, endpoint_outstanding, ready_copies, serving_instances, now_ns):
        raise KeyError("oh")


@dataclass
class AdmitText(AdmissionPolicy):
    def admit(self, model_outstanding, endpoint_outstanding, ready_copies, serving_instances, now_ns):
        return "no"


@dataclass
class AdmitNone(AdmissionPolicy):
    def admit(self, model_outstanding, endpoint_outstanding, ready_copies, serving_instances, now_ns):
        pass


@dataclass
class ScaleRaises(AutoscalingPolicy):
    def desired(self, metrics, now_ns):
        raise KeyError("oh")


@dataclass
class ScaleText(AutoscalingPolicy):
    def desired(self, metrics, now_ns):
        return "more"


@dataclass
class ScaleFloat(AutoscalingPolicy):
    def desired(self, metrics, now_ns):
        return metrics.in_service * 1.2


@dataclass
class ScaleChanges(AutoscalingPolicy):
    def desired(self, metrics, now_ns):
        metrics.desired = 3


@dataclass
class ScaleBounds(AutoscalingPolicy):
    def desired(self, metrics, now_ns):
        return None

    def bounds(self, now_ns):
        return "one", None
'''


def written(folder: Path) -> Path:
    """The scenario's file in a folder, both files of policies beside it."""
    (folder / "sound.py").write_text(SOUND)
    (folder / "wrong.py").write_text(WRONG)
    (folder / "own.yaml").write_text(WORLD)
    return folder / "own.yaml"
