"""Routing policies, each by a small table of choices worked by hand; and what a router of one's own may not be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil

import pytest

from mmesim.core.policy import Choice, RoutingPolicy
from mmesim.core.streams import stream
from mmesim.dataplane.api import Stop
from mmesim.policies.routing.ch_bl import RING, ChBl
from mmesim.policies.routing.join_idle_warm import JoinIdleWarm
from mmesim.policies.routing.least_expected_completion import LeastExpectedCompletion
from mmesim.policies.routing.power_of_two import NOT_SAMPLED, PowerOfTwo
from mmesim.testing import check_policy
from mmesim.testing.views import copy, model_spec
from tests.dataplane_world import MS, cold_start, loaded, records, service, stops, world

S = 1_000_000_000


def offered(*rows: dict[str, int], **same: int) -> list[Choice]:
    """Choices of one request, on instances 0, 1, …."""
    n = {"offered": len(rows), "serving": len(rows)}
    return [copy(**{**n, "instance": at, "position": at, **same, **row}) for at, row in enumerate(rows)]


def winner(policy: RoutingPolicy, choices: Sequence[Choice]) -> int:
    """The instance with the lowest score, the lowest number among equals."""
    return min((policy.score(choice, 0), choice.instance) for choice in choices)[1]


# ---- power_of_two


def sample(policy: PowerOfTwo, n: int, request_draw: int) -> tuple[int, ...]:
    """Positions that are looked at."""
    choices = offered(*[{}] * n, request_draw=request_draw)
    return tuple(c.position for c in choices if policy.score(c, 0) != NOT_SAMPLED)


@pytest.mark.parametrize(("request_draw", "looked_at"), [
    # digits of 7 to the bases 4, 3: 7 = 1·4 + 3, 1 = 0·3 + 1. Shuffle 0 1 2 3: swap 0 and 0+3: 3 1 2 0; swap 1 and 1+1:
    # 3 2 1 0; the first two are 3 and 2.
    (7, (2, 3)),
    # 0: nothing is swapped
    (0, (0, 1)),
    # 4: 4 = 1·4 + 0, then 1: 0 stays, 1 and 2 change places: 0 2 1 3
    (4, (0, 2)),
    # 3: 3 = 0·4 + 3, then 0: 3 1 2 0
    (3, (1, 3))])
def test_power_of_two_looks_at_a_shuffles_first_two(request_draw: int, looked_at: tuple[int, ...]) -> None:
    assert sample(PowerOfTwo(), 4, request_draw) == looked_at


@pytest.mark.parametrize(("choices", "n"), [(1, 4), (2, 5), (3, 5), (5, 6), (3, 2)])
def test_every_sample_is_as_likely(choices: int, n: int) -> None:
    """Draws 0, 1, …, n(n-1)…·k - 1 run through all digits k times: each subset comes up exactly as often."""
    policy, taken = PowerOfTwo(choices=choices), min(choices, n)
    digits = 1
    for step in range(taken):
        digits *= n - step
    found = Counter(sample(policy, n, draw) for draw in range(3 * digits))
    subsets = list(combinations(range(n), taken))
    assert found == dict.fromkeys(subsets, 3 * digits // len(subsets))


def test_power_of_two_takes_the_shorter_of_its_sample() -> None:
    """Sample 2 and 3 (draw 7, above) with 9 and 8 in flight: instance 3, although 0 and 1 are empty."""
    in_flight = [{"instance_outstanding": n} for n in (0, 0, 9, 8)]
    assert winner(PowerOfTwo(), offered(*in_flight, request_draw=7)) == 3


def test_power_of_two_breaks_ties_at_random() -> None:
    draws = stream(3, "draws").integers(0, 1 << 62, (2000, 3)).tolist()
    taken = Counter(winner(PowerOfTwo(), offered({"draw": a}, {"draw": b}, request_draw=c)) for a, b, c in draws)
    assert abs(taken[0] - 1000) < 4 * 22    # 22 = sqrt(2000)/2


@pytest.mark.parametrize("choices", [0, 6])
def test_choices_are_one_to_five(choices: int) -> None:
    with pytest.raises(ValueError, match="choices is"):
        PowerOfTwo(choices=choices)


# ---- join_idle_warm


@pytest.mark.parametrize(("rows", "taken"), [
    # instance 1 has an idle copy; that it is the busiest instance does not matter
    ([{"outstanding": 1, "instance_outstanding": 1}, {"outstanding": 0, "instance_outstanding": 40}], 1),
    # two idle copies: the emptier instance
    ([{"instance_outstanding": 3}, {"instance_outstanding": 2, "draw": 1 << 61}], 1),
    # none idle: the shorter queue
    ([{"outstanding": 5, "instance_outstanding": 5}, {"outstanding": 4, "instance_outstanding": 9}], 1),
    # all alike: the lower draw
    ([{"outstanding": 2, "instance_outstanding": 3, "draw": draw} for draw in (1 << 60, 0)], 1)])
def test_join_idle_warm(rows: list[dict[str, int]], taken: int) -> None:
    assert winner(JoinIdleWarm(), offered(*rows)) == taken


# ---- least_expected_completion


@pytest.mark.parametrize(("rows", "cold_weight", "taken"), [
    # warm with 9 s of work: 0 + 9 + 1 = 10 s; cold: 7 + 0 + 1 = 8 s
    ([{"backlog_ns": 9 * S}, {"ready": 0, "ready_in_ns": 7 * S}], 1.0, 1),
    # warm with 6 s of work: 7 s against 8 s
    ([{"backlog_ns": 6 * S}, {"ready": 0, "ready_in_ns": 7 * S}], 1.0, 0),
    # 10 s against 1.5 · 7 + 1 = 11.5 s
    ([{"backlog_ns": 9 * S}, {"ready": 0, "ready_in_ns": 7 * S}], 1.5, 0),
    # joining a load under way, two in line: 3 + 2 + 1 = 6 s; starting anew 7 + 0 + 1 = 8 s
    ([{"ready": 0, "ready_in_ns": 3 * S, "backlog_ns": 2 * S}, {"ready": 0, "ready_in_ns": 7 * S}], 1.0, 0),
    # loads ahead on instance 0 count: 7 + 5 against 7 from the same tier
    ([{"ready": 0, "ready_in_ns": 12 * S}, {"ready": 0, "ready_in_ns": 7 * S}], 1.0, 1),
    # 1 ns decides before the draw, the draw among equals
    ([{"backlog_ns": 6 * S + 1}, {"backlog_ns": 6 * S, "draw": (1 << 62) - 1}], 1.0, 1),
    ([{"backlog_ns": 6 * S, "draw": 1 << 61}, {"backlog_ns": 6 * S}], 1.0, 1)])
def test_least_expected_completion(rows: list[dict[str, int]], cold_weight: float, taken: int) -> None:
    assert winner(LeastExpectedCompletion(cold_weight=cold_weight), offered(*rows, service_ns=S)) == taken


def test_waits_beyond_the_horizon_still_fit_into_int64() -> None:
    ages = copy(ready_in_ns=1 << 55, backlog_ns=1 << 55, service_ns=1 << 55, draw=(1 << 62) - 1)
    assert 0 < LeastExpectedCompletion().score(ages, 0) < 1 << 63


def test_a_load_is_joined_or_another_begun() -> None:
    """No copy anywhere; a load takes 5 s, a request 1 s. At 0: both instances alike, the draw decides: a. At 2 s and at
    2.5 s: 3 + 1 + 1 and 2.5 + 2 + 1 s there against 0 + 5 + 1 on b: joined. At 2.6 s: 2.4 + 3 + 1 = 6.4 s: b."""
    plane = world([service(1000)], [(t, 0) for t in (0, 2000, 2500, 2600)], instances=2, ready=[],
                  routing=LeastExpectedCompletion())
    plane.table.know([model_spec(reload_s3_s=5.0, service_s=1.0)], load_threads=1)
    first = plane.advance(10**10)
    assert (first.stop, first.time_ns) == (Stop.MISS, 0)
    cold_start(plane.table, first.instance, 0, 0)
    second = plane.advance(10**10)
    assert (second.stop, second.time_ns, second.instance) == (Stop.MISS, 2600 * MS, 1 - first.instance)
    cold_start(plane.table, second.instance, 0, 2600)
    assert stops(plane, 7600) == []
    for instance in range(2):
        loaded(plane.table, instance, 0, ready_since=7600)
        plane.release(instance, 0)
    a, b = first.instance, second.instance
    assert records(plane, 20_000)["instance"].tolist() == [a, a, a, b]


# ---- ch_bl


def ring_order(policy: ChBl, model: int, instances: Sequence[int]) -> list[int]:
    """Instances in the order of the walk from a model's point, when all are empty."""
    n = len(instances)
    score = {i: policy.score(copy(model=model, instance=i, serving=n, offered=n), 0) for i in instances}
    return sorted(instances, key=lambda i: (score[i], i))


def test_ch_bl_passes_by_who_has_its_share() -> None:
    """13 in flight on 4 instances, eps 0.25: bound ceil(1.25 · 14/4) = ceil(4.375) = 5. In ring order the first has 6,
    the second 5, the third 4: the third gets it. With eps 0.6 the bound is ceil(5.6) = 6: the second."""
    first, second, third, fourth = ring_order(ChBl(), 0, range(4))
    load = {first: 6, second: 5, third: 4, fourth: 0}
    rows = [{"instance_outstanding": load[i]} for i in range(4)]
    assert winner(ChBl(), offered(*rows, endpoint_outstanding=15)) == third        # ceil(1.25 · 16/4) = 5
    assert winner(ChBl(), offered(*rows, endpoint_outstanding=13)) == third        # 5
    assert winner(ChBl(eps=0.6), offered(*rows, endpoint_outstanding=13)) == second
    assert winner(ChBl(eps=0.15), offered(*rows, endpoint_outstanding=12)) == fourth   # ceil(1.15 · 13/4) = 4


def test_ch_bl_never_lets_anybody_above_the_bound_while_requests_only_come() -> None:
    """At every instant the load of an instance is at most ceil((1 + eps)(m + 1)/n) with m requests in flight."""
    policy, n, rng = ChBl(eps=0.5), 7, stream(5, "models")
    load = [0] * n
    for m, model in enumerate(rng.integers(0, 4, 300).tolist()):
        rows = [{"instance_outstanding": on} for on in load]
        load[winner(policy, offered(*rows, model=model, endpoint_outstanding=m))] += 1
        assert max(load) <= ceil(1.5 * (m + 1) / n)


def test_one_instance_more_or_less_moves_few_models() -> None:
    """Of 4000 models on 10 instances, exactly those of instance 7 move when it goes (consistent hashing), and they are
    a tenth give or take the spread of shares of 16 points (1/sqrt(16) = 25 %, twice that here)."""
    policy = ChBl()
    before = [ring_order(policy, model, range(10))[0] for model in range(4000)]
    after = [ring_order(policy, model, [i for i in range(10) if i != 7])[0] for model in range(4000)]
    moved = {model for model in range(4000) if before[model] != after[model]}
    assert moved == {model for model in range(4000) if before[model] == 7}
    assert 0.05 < len(moved) / 4000 < 0.15


def test_more_points_make_more_even_shares() -> None:
    """Relative spread of 10 instances' shares of 4000 models, near 1/sqrt(virtual_nodes): 25 % and 10 %."""
    spreads = {}
    for nodes in (16, 100):
        homes = Counter(ring_order(ChBl(virtual_nodes=nodes), model, range(10))[0] for model in range(4000))
        shares = [homes[i] / 400 for i in range(10)]
        spreads[nodes] = (sum((share - 1) ** 2 for share in shares) / 10) ** 0.5
    assert 0.12 < spreads[16] < 0.5
    assert 0.05 < spreads[100] < 0.2


def test_points_are_spread_over_the_ring() -> None:
    """The way to the nearest of 1 point of 1 instance, over 4000 models, is uniform on the ring: mean half of it."""
    ways = [ChBl(virtual_nodes=1).score(copy(model=model), 0) / RING for model in range(4000)]
    assert abs(sum(ways) / 4000 - 0.5) < 4 * (1 / 12 / 4000) ** 0.5
    assert len(set(ways)) == 4000


# ---- a router of one's own


def test_a_method_that_cannot_be_called_as_it_is() -> None:
    @dataclass
    class Old(RoutingPolicy):
        def score(self, outstanding, instance_outstanding, now_ns):  # type: ignore[no-untyped-def, override]
            return outstanding

    [failure] = check_policy(Old).failures
    told = "Old.score takes (self, outstanding, instance_outstanding, now_ns); it is called with (self, copy, now_ns)"
    assert told in failure.message


def test_a_score_that_may_not_end_is_a_warning() -> None:
    @dataclass
    class Steps(RoutingPolicy):
        def score(self, copy: Choice, now_ns: int) -> int:
            left = copy.outstanding
            while left > 2:
                left -= 1
            return left

    [told] = [check.message for check in check_policy(Steps).checks if check.name == "compiled"]
    assert "it has a while loop" in told
