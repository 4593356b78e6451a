"""Copies in proportion to popularity, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmesim.core.policy import Prewarm
from mmesim.policies.placement.popularity_replicas import PopularityReplicas
from mmesim.policies.registry import PolicyError, resolve
from mmesim.testing import check_policy
from mmesim.testing.report import Status
from mmesim.testing.views import FakeEndpoint, FakeInstance, FakeModel, model_spec
from mmesim.units import GIB

MINUTE_NS = 60_000_000_000


def endpoint(uses: dict[int, int], where: dict[int, tuple[int, ...]], instances: int = 4, *, free_gib: float = 10,
             cold: dict[int, tuple[int, ...]] | None = None, rates: tuple[float, ...] = ()) -> FakeEndpoint:
    """Models of 1 GiB with these requests and copies."""
    models = tuple(FakeModel(m, model_spec(size_bytes=GIB), where.get(m, ()), uses=n) for m, n in uses.items())
    return FakeEndpoint(models, tuple(
        FakeInstance(i, free_memory_bytes=int(free_gib * GIB), steady_rate_rps=rates[i] if rates else 0.0,
                     models_cold=(cold or {}).get(i, ()),
                     models_ready=tuple(m for m, on in where.items() if i in on)) for i in range(instances)))


def decided(situation: FakeEndpoint, **values: float | bool) -> list[tuple[int | None, int, bool]]:
    decisions = PopularityReplicas(**values).rearrange(situation, MINUTE_NS)  # type: ignore[arg-type]
    return [(one.instance, one.model, one.load) for one in decisions]


def test_conforms() -> None:
    report = check_policy(PopularityReplicas, "placement")
    assert {check.status for check in report.checks} == {Status.PASS}, report


def test_copies_in_proportion_on_the_least_used_instances() -> None:
    """Shares 0.5, 0.3, 0.2 of 4 instances: 2, 2 (1.2), 1 copies. The most loaded copy first: model 0 (1.0 against
    0.6)."""
    situation = endpoint({0: 50, 1: 30, 2: 20}, {0: (0,), 1: (1,), 2: (2,)}, rates=(5, 3, 2, 0))
    assert decided(situation) == [(3, 0, True), (3, 1, True)]


def test_spread_asks_for_more() -> None:
    """Twice the spread: 4, 3 (2.4), 2 (1.6) copies."""
    situation = endpoint({0: 50, 1: 30, 2: 20}, {0: (0,), 1: (1,), 2: (2,)})
    added = [model for _, model, _ in decided(situation, spread=2)]
    assert sorted(added) == [0, 0, 0, 1, 1, 2]


def test_copies_on_the_way_count() -> None:
    situation = endpoint({0: 50, 1: 50}, {0: (0,), 1: (1, 2)}, cold={3: (0,)})
    models = (FakeModel(0, situation.models[0].spec, (0,), uses=50, n_on_the_way=1), situation.models[1])
    assert decided(FakeEndpoint(models, situation.instances)) == []


def test_never_more_than_fits_unless_others_may_leave() -> None:
    """Two models want 2 of 2 instances each, a third (share 0.2) one. Each instance has room for one copy, or none."""
    uses, where = {0: 41, 1: 39, 2: 20}, {0: (0,), 1: (1,), 2: (1,)}
    assert decided(endpoint(uses, where, 2, free_gib=1.5), spread=2) == [(1, 0, True), (0, 1, True)]
    more = {0: 35, 1: 33, 2: 32}
    assert len(decided(endpoint(more, where, 2, free_gib=1.5), spread=2)) == 2
    full = endpoint(uses, where, 2, free_gib=0.5)
    assert decided(full, spread=2) == []
    assert decided(full, spread=2, displace=True) == [(1, 0, True), (0, 1, True)]


def test_a_cold_start_under_way_may_still_take_the_room() -> None:
    """1.5 GiB, and a model on its way, of which no more is known than the largest size."""
    situation = endpoint({0: 90, 1: 10}, {0: (0,)}, instances=2, free_gib=1.5, cold={1: (1,)})
    assert decided(situation) == []


def test_slack_between_adding_and_taking_away() -> None:
    """4 instances. Share 0.25 · 4 = 1 copy; with the slack of a half up to 2 are kept, the third leaves: of the copies
    the one where most requests go; unless there is room anyway."""
    uses = {0: 25, 1: 25, 2: 25, 3: 25}
    others = {1: (1,), 2: (2,), 3: (3,)}
    three = endpoint(uses, {0: (0, 1, 2), **others}, rates=(1, 7, 2, 1), free_gib=0.5)
    assert decided(endpoint(uses, {0: (0, 1), **others}, free_gib=0.5)) == []
    assert decided(three) == [(1, 0, False)]
    assert decided(three, slack_fraction=1.5) == []
    assert decided(endpoint(uses, {0: (0, 1, 2), **others}, rates=(1, 7, 2, 1), free_gib=1)) == []


def test_a_model_without_a_copy_waits_for_its_request() -> None:
    assert decided(endpoint({0: 90, 1: 10}, {1: (1,)})) == []


def test_rates_forget() -> None:
    """100 requests, then none for 10 half-lives while another model gets 10: that one is the popular one."""
    policy = PopularityReplicas()
    where = {0: (0,), 1: (1,)}
    policy.rearrange(endpoint({0: 100, 1: 0}, where), 0)
    later = policy.rearrange(endpoint({0: 100, 1: 10}, where), 100 * MINUTE_NS)
    assert list(later) == [Prewarm(0, 1), Prewarm(2, 1), Prewarm(3, 1)]


def test_no_requests_nothing_to_do() -> None:
    assert decided(endpoint({0: 0}, {0: (0,)})) == []
    assert list(PopularityReplicas().rearrange(FakeEndpoint(), 0)) == []


def test_what_cannot_be_is_refused() -> None:
    for values in ({"spread": 0}, {"slack_fraction": "-10%"}, {"half_life": "0s"}):
        with pytest.raises(PolicyError):
            resolve("placement", "popularity_replicas", values, Path())
