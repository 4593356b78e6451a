"""Staffing for the forecast: by hand, and its waiting probability against Erlang C."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from math import ceil, sqrt
from pathlib import Path

import numpy as np
import pytest

from mmesim.policies.autoscaling.forecast_staffing import ForecastStaffing
from mmesim.policies.registry import PolicyError, resolve
from mmesim.testing import check_policy
from mmesim.testing.report import Status
from mmesim.testing.views import FakeMetrics

HERE = Path(__file__).parent
MINUTE_NS = 60_000_000_000


def follow(policy: ForecastStaffing, rates_rps: Sequence[float], start: int = 0) -> list[int]:
    """Its answer after each minute at these rates."""
    answers = []
    for minute, rate in enumerate(rates_rps, start):
        answer = policy.desired(FakeMetrics({"Invocations.Sum": [60 * rate]}), minute * MINUTE_NS)
        assert answer is not None
        answers.append(answer)
    return answers


def staffing(**values: float) -> ForecastStaffing:
    return ForecastStaffing(**{"instance_rps": 1.0, "season_s": 0, "stabilization_s": 0, **values})


def test_conforms() -> None:
    report = check_policy(ForecastStaffing, "autoscaling", {"instance_rps": 10})
    assert {check.status for check in report.checks} == {Status.PASS}, report


def test_the_square_root_rule() -> None:
    assert follow(staffing(), [100] * 3)[-1] == 110
    assert follow(staffing(beta=0.5), [100] * 3)[-1] == 105
    assert follow(staffing(instance_rps=25), [100] * 3)[-1] == 6            # R = 4
    assert follow(staffing(), [0] * 3)[-1] == 0


def test_a_trend_is_carried_over_the_lead() -> None:
    """A ramp of 1 rps a minute: once the trend is learnt, the forecast for 10 minutes later is 10 above the rate (the
    level of Holt's method follows a ramp without lag)."""
    ramp = np.arange(400.0)
    answers = follow(staffing(beta=0, lead_s=600), ramp.tolist())
    assert [answer - rate for answer, rate in zip(answers[-5:], ramp[-5:], strict=True)] == [10] * 5


def test_a_falling_trend_staffs_for_now() -> None:
    """Instances leave at once: what the trend says of later does not count."""
    ramp = np.arange(800.0, 400.0, -1)
    answers = follow(staffing(beta=0, lead_s=600), ramp.tolist())
    assert [answer - rate for answer, rate in zip(answers[-5:], ramp[-5:], strict=True)] == [0] * 5


def test_yesterday_says_when_it_begins() -> None:
    """Flat days of 10 rps with an hour of 40 rps from 12:00. The first day the level shows it in the first minute (22
    rps: 3 instances); the second day they are wanted a lead of 6 min before."""
    day = [40.0 if 720 <= minute < 780 else 10.0 for minute in range(1440)]
    answers = follow(staffing(beta=0, instance_rps=10, trend_s=1e9, season_s=86400), day * 2)
    first, second = (next(m for m in range(1440) if answers[d * 1440 + m] > 2) for d in range(2))
    assert (first, second) == (720, 714)


def test_fewer_only_after_the_stabilization() -> None:
    """From 100 to 50 rps at once; the level needs its time, then the largest of five minutes counts."""
    line = [100.0] * 10 + [50.0] * 20
    at_once, later = (follow(staffing(beta=0, trend_s=1e9, stabilization_s=s), line) for s in (0, 300))
    assert later[15:] == at_once[10:25]
    assert later[:15] == [100] * 15


def test_no_data_no_opinion() -> None:
    assert staffing().desired(FakeMetrics(), 0) is None
    assert staffing().desired(FakeMetrics({"Invocations.Sum": [None]}), 0) is None


def erlang_c(servers: int, load: float) -> float:
    """P(wait) of M/M/c, by the recursion of Erlang B."""
    blocked = 1.0
    for n in range(1, servers + 1):
        blocked = load * blocked / (n + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def test_erlang_c_of_the_oracle() -> None:
    values = [round(erlang_c(c, 100), 4) for c in (105, 110, 115, 120)]
    assert values == [0.5157, 0.2370, 0.0954, 0.0332]


def waiting(rate_rps: float, minutes: int, policy: ForecastStaffing, rng: np.random.Generator, start: int
            ) -> tuple[float, list[int]]:
    """Share of Poisson arrivals that wait for one of as many servers (exponential, mean 1 s) as the policy wants, which
    are there or gone at once; and the numbers it wanted."""
    arrivals = np.cumsum(rng.exponential(1 / rate_rps, int(60 * minutes * rate_rps * 1.1)))
    services = rng.exponential(1.0, len(arrivals))
    ends: list[float] = []
    queue_free_s, waited, counted = 0.0, 0, 0
    wanted = [ceil(rate_rps + policy.beta * sqrt(rate_rps))]
    minute, first = 0, 0
    for k, now_s in enumerate(arrivals.tolist()):
        while now_s >= 60 * (minute + 1):
            metrics = FakeMetrics({"Invocations.Sum": [float(k - first)]})
            answer = policy.desired(metrics, (start + minute) * MINUTE_NS)
            assert answer is not None
            wanted.append(answer)
            minute, first = minute + 1, k
        if minute >= minutes:
            break
        # First come, first served: it starts when fewer than c are at work, and not before the one ahead of it.
        begin_s = max(now_s, queue_free_s)
        while ends and ends[0] <= begin_s:
            heappop(ends)
        while len(ends) >= wanted[-1]:
            begin_s = max(begin_s, heappop(ends))
        queue_free_s = begin_s
        heappush(ends, begin_s + services.item(k))
        if minute >= 10:
            waited, counted = waited + (begin_s > now_s), counted + 1
    return waited / counted, wanted[10:]


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.5])
def test_waiting_follows_erlang_at_each_level_of_a_step_load(beta: float) -> None:
    """Loads of 50, 200 and 100 servers in turn, each for an hour. The policy sees Poisson counts, so its number varies
    by one or two; the share that waits must be that of Erlang C, averaged over the numbers it chose, within what
    simulation noise and the minutes after each change of the number leave: 0.05."""
    policy = staffing(beta=beta, level_s=600, trend_s=1e9)
    rng = np.random.default_rng(11)
    for step, load in enumerate((50, 200, 100)):
        policy._level_rps = float(load)                     # instant: what is tested is the level, not the way to it
        share, wanted = waiting(float(load), 60, policy, rng, 60 * step)
        exact = float(np.mean([erlang_c(c, load) for c in wanted]))
        assert share == pytest.approx(exact, abs=0.05)
        assert abs(np.mean(wanted) - (load + beta * sqrt(load))) < 1.5


def test_what_cannot_be_is_refused() -> None:
    name = "mmesim.policies.autoscaling.forecast_staffing:ForecastStaffing"
    for values in ({"instance_rps": 0}, {"instance_rps": 1, "beta": -1}, {"instance_rps": 1, "level": "0s"}):
        with pytest.raises(PolicyError):
            resolve("autoscaling", name, values, HERE)
