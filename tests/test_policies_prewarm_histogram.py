"""Hybrid histogram: windows worked out by hand, and what is unloaded and loaded over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmesim.core.policy import Prewarm
from mmesim.policies.prewarm.hybrid_histogram import HybridHistogram
from mmesim.policies.prewarm.idle_times import IdleTimes
from mmesim.policies.registry import PolicyError, resolve
from mmesim.testing import check_policy
from mmesim.testing.report import Status
from mmesim.testing.views import FakeEndpoint, FakeInstance, FakeModel, model_spec
from mmesim.units import GIB

MINUTE_NS = 60_000_000_000


def endpoint(uses: int, last_min: float, *, ready: bool = False, busy: int = 0, free_gib: float = 10,
             cold: tuple[int, ...] = ()) -> FakeEndpoint:
    """One model of 1 GiB that loads in 10 s, on one instance."""
    model = FakeModel(0, model_spec(size_bytes=GIB), (0,) if ready else (), busy, uses=uses,
                      last_use_ns=round(last_min * MINUTE_NS))
    return FakeEndpoint((model,), (FakeInstance(0, free_memory_bytes=int(free_gib * GIB), models_cold=cold,
                                                models_ready=(0,) if ready else ()),))


def learn(gaps_min: Iterable[float], policy: HybridHistogram | None = None) -> tuple[HybridHistogram, float, int]:
    """A policy that has seen requests with these gaps, looked at within the minute of each; (it, last use, uses)."""
    policy = policy or HybridHistogram()
    last, uses = 0.5, 1
    list(policy.plan(endpoint(uses, last), MINUTE_NS))
    for gap in gaps_min:
        last, uses = last + gap, uses + 1
        list(policy.plan(endpoint(uses, last, ready=True), round((last + 0.1) * MINUTE_NS)))
    return policy, last, uses


def window_min(policy: HybridHistogram) -> tuple[float, float]:
    return round(policy._head_ns.item(0) / MINUTE_NS, 6), round(policy._tail_ns.item(0) / MINUTE_NS, 6)


def test_conforms() -> None:
    for reading in ("bin_counts", "interarrival"):
        report = check_policy(HybridHistogram, "prewarm", {"reading": reading})
        assert {check.status for check in report.checks} <= {Status.PASS, Status.WARN}, report
        assert [check.name for check in report.checks if check.status is Status.WARN] in ([], ["speed"]), report


def test_a_regular_model_has_a_window_round_its_period() -> None:
    """Ten gaps of 30.5 min fill bin 30: from 30 - 10 % to 31 + 10 %."""
    assert window_min(learn([30.5] * 10)[0]) == (27, 34.1)


def test_quantiles_of_the_histogram() -> None:
    """100 gaps: five in bin 10, 94 in bin 20, one in bin 50. The 5th of 100 lies in bin 10, the 99th in bin 20."""
    policy = learn([10.5] * 5 + [20.5] * 94 + [50.5])[0]
    assert window_min(policy) == (9, 23.1)
    assert window_min(learn([10.5] * 5 + [20.5] * 93 + [50.5] * 2)[0]) == (9, 56.1)
    assert window_min(learn([10.5] * 4 + [20.5] * 96)[0]) == (18, 23.1)


def test_an_even_histogram_says_nothing() -> None:
    """48 bins with one gap each, of 240: variance 0.2 - 0.04, coefficient 2.0: not above 2. With 47 bins it is 2.03."""
    even = [k + 0.5 for k in range(48)]
    policy = learn(even)[0]
    assert policy._idle is not None
    assert policy._idle.bin_cov(np.array([0])).item() == pytest.approx(2.0)
    assert window_min(policy) == (0, 240)
    assert window_min(learn(even[1:])[0]) == (2.7, 52.8)                # 47 gaps: 3rd is bin 3, 47th is bin 47


def test_too_few_say_nothing() -> None:
    assert window_min(learn([30.5] * 4)[0]) == (0, 240)
    assert window_min(learn([30.5] * 5)[0]) == (27, 34.1)


def test_mostly_out_of_range_is_forecast_from_the_last_ones() -> None:
    """Gaps of 5 h: more than half out of bounds; 300 min less and plus 15 %. Four of them are not enough."""
    assert window_min(learn([300.0] * 5)[0]) == (255, 345)
    assert window_min(learn([30.5] * 3 + [300.0] * 3)[0]) != (255, 345)
    policy = learn([300.0] * 5 + [400.0])[0]
    assert window_min(policy) == pytest.approx((325 * 0.85, 325 * 1.15))               # 3/4 · 300 + 1/4 · 400


def test_faascaches_reading() -> None:
    """Gaps alike have a coefficient of 0: representative. Nine of 1 min and one of 100 have 2.7: kept for 2 h; their
    bins' counts would say much."""
    regular = learn([30.5] * 10, HybridHistogram("interarrival"))[0]
    assert window_min(regular) == (27, 34.1)
    mixed = [1.5] * 9 + [100.5]
    assert window_min(learn(mixed, HybridHistogram("interarrival"))[0]) == (0, 120)
    assert window_min(learn(mixed)[0]) == (0.9, 111.1)
    assert window_min(learn([300.0] * 5, HybridHistogram("interarrival"))[0]) == (0, 120)     # never forecasts


def test_several_requests_between_two_looks() -> None:
    """Last used at 0.5; looked at 10:00; three uses until 10:45. The first is put at 10:15, the others 15 s apart."""
    idle = IdleTimes.begin(np.array([1]), np.array([MINUTE_NS // 2]), 10 * MINUTE_NS, 240)
    idle.learn(np.array([4]), np.array([10 * MINUTE_NS + 45_000_000_000]), 11 * MINUTE_NS)
    assert {int(at): int(n) for at, n in enumerate(idle.bins[0]) if n} == {0: 2, 9: 1}
    assert idle.inside.item() == 3
    assert idle.squares.item() == 2 ** 2 + 1
    assert idle.total_s.item() == pytest.approx(9.75 * 60 + 2 * 15)


def test_the_life_of_a_regular_model() -> None:
    """Window 27 to 34.1 min after the last use at T; a load takes 10 s and it looks each minute: it leaves at once, is
    loaded at T + 26 (27 min less 70 s: 25.8), stays, and leaves again after T + 34.1."""
    policy, last, uses = learn([30.5] * 10)
    ready, seen = True, []
    for minute in range(1, 40):
        decided = list(policy.plan(endpoint(uses, last, ready=ready), round((last + minute) * MINUTE_NS)))
        for one in decided:
            ready = one.load
            seen.append((minute, one.load))
    assert seen == [(1, False), (26, True), (35, False)]


def test_loaded_once_each_idle_time() -> None:
    """What the eviction policy takes away within the window is not fetched again."""
    policy, last, uses = learn([30.5] * 10)
    answers = [list(policy.plan(endpoint(uses, last), round((last + minute) * MINUTE_NS))) for minute in (5, 28, 29)]
    assert answers == [[], [Prewarm(None, 0)], []]


def test_a_busy_copy_is_looked_at_again() -> None:
    policy, last, uses = learn([30.5] * 10)
    at = [round((last + minute) * MINUTE_NS) for minute in (1, 2)]
    assert list(policy.plan(endpoint(uses, last, ready=True, busy=1), at[0])) == []
    assert list(policy.plan(endpoint(uses, last, ready=True), at[1])) == [Prewarm(0, 0, load=False)]


def test_into_free_memory_only_unless_told_otherwise() -> None:
    """No room at first: looked at again each minute. A cold start under way may take as much as the largest model."""
    for displace in (False, True):
        policy, last, uses = learn([30.5] * 10, HybridHistogram(displace=displace))
        at = [round((last + minute) * MINUTE_NS) for minute in (28, 29, 30)]
        answers = [bool(list(policy.plan(endpoint(uses, last, free_gib=gib, cold=cold), now_ns)))
                   for now_ns, gib, cold in zip(at, (0.5, 1.5, 1.5), ((), (7,), ()), strict=True)]
        assert answers == ([True, False, False] if displace else [False, False, True])


def test_nothing_is_unloaded_before_anything_is_known() -> None:
    policy, last, uses = learn([])
    assert list(policy.plan(endpoint(uses, last, ready=True), 239 * MINUTE_NS)) == []
    assert list(policy.plan(endpoint(uses, last, ready=True), 242 * MINUTE_NS)) == [Prewarm(0, 0, load=False)]


def test_each_model_has_its_own_histogram() -> None:
    """Two models in one look: as if each were alone."""
    both, policy = endpoint(1, 0.5), HybridHistogram()
    last = [0.0, 0.0]
    for step in range(1, 600):
        last = [step if step % period == 0 else was for period, was in zip((30, 45), last, strict=True)]
        models = tuple(FakeModel(m, model_spec(size_bytes=GIB), uses=1 + step // period,
                                 last_use_ns=round(last[m] * MINUTE_NS)) for m, period in enumerate((30, 45)))
        list(policy.plan(replace(both, models=models), step * MINUTE_NS))
    assert (policy._head_ns / MINUTE_NS).tolist() == pytest.approx([27, 40.5])


def test_what_cannot_be_is_refused() -> None:
    for values in ({"reading": "mine"}, {"range": "10s"}, {"tail_fraction": "1%"}, {"cov": 0}):
        with pytest.raises(PolicyError):
            resolve("prewarm", "hybrid_histogram", values, Path())
