"""Routing, placement, eviction, pre-warming and admission: cases worked out by hand."""

from __future__ import annotations

from collections import Counter

import pytest

from mmesim.core.policy import EvictionPolicy, Prewarm
from mmesim.core.streams import stream
from mmesim.policies.admission.always import Always
from mmesim.policies.admission.queue_limit import QueueLimit
from mmesim.policies.eviction.lfu import Lfu
from mmesim.policies.eviction.lru import Lru
from mmesim.policies.placement.hash import Hash
from mmesim.policies.placement.least_loaded import LeastLoaded
from mmesim.policies.prewarm.none import NoPrewarm
from mmesim.policies.prewarm.pinned import Pinned
from mmesim.policies.routing.least_outstanding import LeastOutstanding
from mmesim.policies.routing.random import Random
from mmesim.testing.views import FakeEndpoint, FakeInstance, FakeModel, candidate, candidates, copy, model_spec
from mmesim.units import GIB, MIB


def best(policy: Random | LeastOutstanding, in_flight: list[int], draws: list[int]) -> int:
    """The instance a router takes: lowest score, ties to the lowest number."""
    return min(range(len(in_flight)), key=lambda i: policy.score(
        copy(instance_outstanding=in_flight[i], draw=draws[i]), 0))


def test_least_outstanding_takes_the_fewest_in_flight_whatever_the_draw() -> None:
    draws = stream(1, "draws").integers(0, 1 << 62, (100, 3)).tolist()
    assert {best(LeastOutstanding(), [3, 2, 4], draw) for draw in draws} == {1}


def test_least_outstanding_breaks_ties_at_random() -> None:
    draws = stream(1, "draws").integers(0, 1 << 62, (6000, 3)).tolist()
    taken = Counter(best(LeastOutstanding(), [2, 5, 2], draw) for draw in draws)
    assert set(taken) == {0, 2}
    assert abs(taken[0] - 3000) < 4 * 39    # four standard deviations of a fair coin, 39 = sqrt(6000)/2


def test_least_outstanding_fits_into_int64() -> None:
    most = copy(instance_outstanding=(1 << 27) - 1, draw=(1 << 62) - 1)
    assert LeastOutstanding().score(most, 0) == (1 << 63) - 1


def test_random_routing_is_even() -> None:
    draws = stream(2, "draws").integers(0, 1 << 62, (9000, 3)).tolist()
    taken = Counter(best(Random(), [0, 50, 9], draw) for draw in draws)
    assert all(abs(taken[i] - 3000) < 4 * 45 for i in range(3))    # 45 = sqrt(9000 * 1/3 * 2/3)


COLD = FakeModel(7, model_spec("cold", 500 * MIB))


@pytest.mark.parametrize(("instances", "wanted"), [
    # room before a disk that holds it
    ([FakeInstance(0, free_memory_bytes=100 * MIB, models_on_disk=(7,)), FakeInstance(1, free_memory_bytes=GIB)], 1),
    # exactly enough room is room
    ([FakeInstance(0, free_memory_bytes=500 * MIB - 1), FakeInstance(1, free_memory_bytes=500 * MIB)], 1),
    # with room: the disk that holds it before more room
    ([FakeInstance(0, free_memory_bytes=8 * GIB), FakeInstance(1, free_memory_bytes=GIB, models_on_disk=(7,))], 1),
    # with room: fewer cold starts before more room
    ([FakeInstance(0, free_memory_bytes=8 * GIB, models_cold=(7, 8)),
      FakeInstance(1, free_memory_bytes=GIB, models_cold=(7,))], 1),
    # with room: the most room, not the fewest requests
    ([FakeInstance(0, free_memory_bytes=GIB), FakeInstance(1, free_memory_bytes=2 * GIB, outstanding=9)], 1),
    # full: the disk that holds it before fewer requests
    ([FakeInstance(0, free_memory_bytes=0),
      FakeInstance(1, free_memory_bytes=0, outstanding=9, models_on_disk=(7,))], 1),
    # full: fewest requests, not the most room
    ([FakeInstance(0, free_memory_bytes=400 * MIB, outstanding=3),
      FakeInstance(1, free_memory_bytes=0, outstanding=2)], 1),
    # all equal: the lowest number
    ([FakeInstance(3), FakeInstance(5)], 3),
])
def test_least_loaded_order(instances: list[FakeInstance], wanted: int) -> None:
    assert LeastLoaded().place(COLD, instances, 0) == wanted
    assert LeastLoaded().place(COLD, instances[::-1], 0) == wanted


def test_least_loaded_on_a_cpu_endpoint_counts_host_memory() -> None:
    model = FakeModel(0, model_spec(gpu_bytes=0, host_bytes=2 * GIB))
    small = FakeInstance(0, free_memory_bytes=GIB)
    large = FakeInstance(1, free_memory_bytes=2 * GIB, outstanding=50)
    assert LeastLoaded().place(model, [small, large], 0) == 1


def ring(n_models: int, numbers: list[int]) -> list[int | None]:
    policy, instances = Hash(), [FakeInstance(number) for number in numbers]
    return [policy.place(FakeModel(i, model_spec(f"model-{i}")), instances, 0) for i in range(n_models)]


def test_hash_moves_only_the_models_of_the_instance_that_leaves() -> None:
    before, after = ring(3000, list(range(10))), ring(3000, [i for i in range(10) if i != 4])
    moved = [old for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {4}
    assert 0.05 < len(moved) / 3000 < 0.2    # a tenth, give or take the spread of 100 virtual nodes (10 %) thrice over


def test_hash_spreads_evenly_and_more_nodes_more_so() -> None:
    def spread(nodes: int) -> float:
        policy, instances = Hash(virtual_nodes=nodes), [FakeInstance(number) for number in range(8)]
        taken = Counter(policy.place(FakeModel(i, model_spec(f"m{i}")), instances, 0) for i in range(4000))
        return (max(taken.values()) - min(taken.values())) / 500

    assert spread(100) < 1.0 < spread(1)


def test_hash_sends_a_second_copy_to_the_next_on_the_ring() -> None:
    policy, model = Hash(), FakeModel(0, model_spec("hot"))
    first = policy.place(model, [FakeInstance(i) for i in range(5)], 0)
    second = policy.place(model, [FakeInstance(i) for i in range(5) if i != first], 0)
    assert second == ring_after("hot", 5, first)
    taken = (first, second)
    assert policy.place(model, [FakeInstance(i) for i in range(5) if i not in taken], 0) not in taken


def ring_after(name: str, n: int, first: int | None) -> int:
    """The second distinct instance on the ring, found by walking it point by point."""
    from mmesim.policies.placement.hash import point
    points = sorted((point(f"instance {i} node {node}"), i) for i in range(n) for node in range(100))
    start = point(name)
    walk = [i for place, i in points if place >= start] + [i for place, i in points if place < start]
    assert walk[0] == first
    return next(i for i in walk if i != first)


def order(policy: EvictionPolicy, *rows: dict[str, int]) -> list[int]:
    offered = candidates(candidate(**row) for row in rows)
    return [victim.model for victim in policy.victims(offered, 1, 1000)]


def test_lru_order_and_ties() -> None:
    rows = ({"model": 0, "last_use_ns": 30}, {"model": 1, "last_use_ns": 10}, {"model": 2, "last_use_ns": 20},
            {"model": 3, "last_use_ns": 10})
    assert order(Lru(), *rows) == [1, 3, 2, 0]


def test_lru_counts_becoming_ready_as_a_touch() -> None:
    # model 0 was asked for at 10 and its load ended at 50; model 1 was asked for at 40
    assert order(Lru(), {"model": 0, "last_use_ns": 10, "since_ns": 50}, {"model": 1, "last_use_ns": 40}) == [1, 0]


def test_lfu_order_and_ties() -> None:
    rows = ({"model": 0, "uses": 5, "last_use_ns": 1}, {"model": 1, "uses": 2, "last_use_ns": 90},
            {"model": 2, "uses": 2, "last_use_ns": 70}, {"model": 3, "uses": 2, "last_use_ns": 60, "since_ns": 80},
            {"model": 4, "uses": 2, "last_use_ns": 70})
    assert order(Lfu(), *rows) == [2, 4, 3, 1, 0]


def endpoint(n_instances: int, pinned: list[int], ready: dict[int, tuple[int, ...]]) -> FakeEndpoint:
    models = tuple(FakeModel(i, model_spec(f"m{i}", pinned=i in pinned)) for i in range(6))
    return FakeEndpoint(models, tuple(FakeInstance(i, models_ready=ready.get(i, ())) for i in range(n_instances)))


def test_no_prewarm() -> None:
    assert list(NoPrewarm().plan(endpoint(2, [1], {}), 0)) == []
    assert NoPrewarm().period_s == 0


def test_pinned_models_are_spread_over_the_instances() -> None:
    assert list(Pinned().plan(endpoint(2, [1, 3, 4], {}), 0)) == [Prewarm(0, 1), Prewarm(1, 3), Prewarm(0, 4)]


def test_pinned_loads_only_what_is_missing() -> None:
    here = endpoint(3, [1, 3], {0: (3,), 2: (1,)})
    assert list(Pinned(copies=1).plan(here, 0)) == []
    assert list(Pinned(copies=2).plan(here, 0)) == [Prewarm(0, 1), Prewarm(1, 3)]
    assert len(list(Pinned(copies=9).plan(here, 0))) == 2 * 3 - 2
    assert list(Pinned().plan(endpoint(0, [1], {}), 0)) == []


@pytest.mark.parametrize(("limit", "model", "whole", "ready", "wanted"), [
    (QueueLimit(), 10**6, 10**6, 1, True),                                 # 0: no limit
    (QueueLimit(per_copy=10), 9, 10**6, 1, True),
    (QueueLimit(per_copy=10), 10, 10, 1, False),
    (QueueLimit(per_copy=10), 29, 29, 3, True),
    (QueueLimit(per_copy=10), 30, 30, 3, False),
    (QueueLimit(per_copy=10), 9, 9, 0, True),                              # cold: as many as for one copy
    (QueueLimit(per_copy=10), 10, 10, 0, False),
    (QueueLimit(per_endpoint=100), 0, 99, 0, True),
    (QueueLimit(per_endpoint=100), 0, 100, 5, False),
    (QueueLimit(per_copy=1, per_endpoint=100), 1, 50, 1, False),           # the tighter one counts
])
def test_queue_limit(limit: QueueLimit, model: int, whole: int, ready: int, wanted: bool) -> None:
    assert limit.admit(model, whole, ready, 4, 0) is wanted


def test_always_admits() -> None:
    assert Always.always and Always().admit(10**9, 10**9, 0, 0, 0) is True
    assert not QueueLimit.always
