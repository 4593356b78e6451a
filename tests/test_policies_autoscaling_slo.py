"""Scaling on the latency objective, on hand-worked time lines of M/M/1 instances."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import inf, log
from pathlib import Path

import pytest

from mmesim.policies.autoscaling.slo_feedback import SloFeedback
from mmesim.policies.registry import PolicyError, resolve
from mmesim.testing import check_policy
from mmesim.testing.report import Status
from mmesim.testing.views import FakeMetrics

HERE = Path(__file__).parent
MINUTE_NS = 60_000_000_000
K95 = log(20)


def p95_s(service_rps: float, load_rps: float) -> float:
    """Of M/M/1."""
    return K95 / (service_rps - load_rps) if load_rps < service_rps else inf


def follow(policy: SloFeedback, loads_rps: Sequence[float], instances: int, service_rps: float = 10.0) -> list[int]:
    """Instances after each minute, when every wish is granted at once and each instance is an M/M/1 queue."""
    wanted = [instances]
    for minute, load in enumerate(loads_rps):
        answer = policy.desired(minute_of(load, wanted[-1], service_rps), minute * MINUTE_NS)
        wanted.append(wanted[-1] if answer is None else answer)
    return wanted[1:]


def minute_of(load_rps: float, instances: int, service_rps: float) -> FakeMetrics:
    """What is published of a minute; an overloaded instance answers at its full rate, with a p95 of 30 s."""
    each = load_rps / instances
    quantile_s = p95_s(service_rps, each) if each < service_rps else 30.0
    series = {"Invocations.Sum": [60 * load_rps],
              "ModelLatency.SampleCount": [60 * instances * min(each, service_rps)] if load_rps else [None],
              "ModelLatency.p95": [1e6 * quantile_s] if load_rps else [None]}
    return FakeMetrics(series, instances, instances)


def test_conforms() -> None:
    report = check_policy(SloFeedback, "autoscaling", {"objective": "500ms"})
    assert {check.status for check in report.checks} == {Status.PASS}, report


def test_out_to_the_smallest_number_that_meets_the_objective() -> None:
    """10 rps an instance, 30 rps in all. 1 s needs mu - k / T = 10 - 3.0 = 7.0 rps an instance: 5 (4 would have
    p95 = 1.2 s). From 4 the third datapoint above the objective decides."""
    assert p95_s(10, 30 / 4) > 1.0 > p95_s(10, 30 / 5)
    assert follow(SloFeedback(1.0), [30] * 5, 4) == [4, 4, 5, 5, 5]


def test_overload_is_read_off_the_answers() -> None:
    """2 instances answer 20 of 30 rps: mu = 10 + k / 30 s = 10.1, so that 30 / (10.1 - 3.0) = 4.2: 5."""
    assert follow(SloFeedback(1.0), [30] * 3, 2)[-1] == 5


def test_in_by_one_after_fifteen_datapoints_and_a_cooldown() -> None:
    """10 rps on 5: 0.7 s is kept with 2 (p95 0.60 s), not with 1 (overload). One step each 15 min at first, then when
    the cooldown and the window of datapoints with the new number allow it."""
    answers = follow(SloFeedback(1.0), [10] * 60, 5)
    assert answers[13:16] == [5, 4, 4]
    assert answers[-1] == 2
    assert all(before - after in (0, 1) for before, after in pairwise(answers))


def test_the_band_between_is_left_alone() -> None:
    """p95 with 3: 0.73 s; with 2: 1.48 s. Neither above 1 s nor safe with one less."""
    load = 3 * (10 - K95 / 0.73)
    assert set(follow(SloFeedback(1.0), [load] * 40, 3)) == {3}


def test_no_more_where_more_cannot_help() -> None:
    """A request alone takes 3 s (p95) on 0.998 rps instances: the objective of 1 s is out of reach."""
    assert follow(SloFeedback(1.0), [0.1] * 6, 2, service_rps=1.0) == [2] * 6


def test_no_traffic_goes_down_and_no_data_says_nothing() -> None:
    assert follow(SloFeedback(1.0), [0] * 60, 3)[-1] == 1
    assert SloFeedback(1.0).desired(FakeMetrics(), 0) is None


def test_another_quantile() -> None:
    """p50 = ln 2 / (mu - x): 30 rps on 4 has 0.28 s."""
    policy = SloFeedback(0.2, statistic="p50", out_datapoints=1)
    series = {"Invocations.Sum": [1800.0], "ModelLatency.SampleCount": [1800.0],
              "ModelLatency.p50": [1e6 * log(2) / 2.5]}
    assert policy.desired(FakeMetrics(series, 4, 4), 0) == 5        # 30 / (10 - 3.47) = 4.6


def test_what_cannot_be_is_refused() -> None:
    name = "mmesim.policies.autoscaling.slo_feedback:SloFeedback"
    for values in ({"objective": "0s"}, {"objective": "1s", "statistic": "p42"}, {"objective": "1s", "in_fraction": 2}):
        with pytest.raises(PolicyError):
            resolve("autoscaling", name, values, HERE)
