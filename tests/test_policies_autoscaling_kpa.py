"""Knative's autoscaler on hand-worked time lines: a datapoint every 10 s, of the mean per instance in service."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from mmesim.policies.autoscaling.kpa import Kpa
from mmesim.policies.registry import PolicyError, resolve
from mmesim.testing import check_policy
from mmesim.testing.report import Status
from mmesim.testing.views import FakeMetrics

HERE = Path(__file__).parent
NS_PER_S = 1_000_000_000
METRIC = "ConcurrentRequestsPerModel.Average"


def follow(policy: Kpa, in_flight: Sequence[float | None], ready: Sequence[int] | int, *, period_s: float = 10.0,
           ) -> list[int | None]:
    """Its answers when so many requests are in flight on the endpoint and so many instances in service."""
    answers = []
    for k, total in enumerate(in_flight):
        serving = ready if isinstance(ready, int) else ready[k]
        value = None if total is None else total / max(1, serving)
        metrics = FakeMetrics({METRIC: [value]}, serving, serving, period_s=period_s)
        answers.append(policy.desired(metrics, round(k * period_s) * NS_PER_S))
    return answers


def test_conforms() -> None:
    report = check_policy(Kpa, "autoscaling", {"target": 10})
    assert {check.status for check in report.checks} == {Status.PASS}, report


def test_a_hundred_in_flight_with_a_limit_of_ten_and_seventy_percent_are_fifteen() -> None:
    """100 / 7 = 14.3; 10 are in service, so that 15 is no reason to panic."""
    assert follow(Kpa(target=10), [100] * 7, 10)[-1] == 15


def test_the_stable_window_is_an_average_of_a_minute() -> None:
    """7 in flight an instance; from 7 to 13 (less than twice): the mean of six datapoints rises by one each time."""
    answers = follow(Kpa(target=10), [7 * 4] * 12 + [7 * 7] * 6, 4)
    assert answers[11:] == [4, 5, 5, 6, 6, 7, 7]            # ceil((28·k + 49·(6-k)) / 42)


def test_panic_begins_at_twice_what_is_in_service_and_ends_a_minute_after() -> None:
    """2 instances, 14 in flight: stable wants 2. One datapoint of 28 wants 4 = 2 · 2: panic. 60 s later it holds still,
    after 70 s it ends."""
    quiet = [14.0] * 10
    answers = follow(Kpa(target=10), [*quiet, 28.0, *([14.0] * 9)], 2)
    assert answers[9:] == [2, 4, 4, 4, 4, 4, 4, 4, 2, 2, 2]


def test_just_below_the_threshold_is_no_panic() -> None:
    assert max(n for n in follow(Kpa(target=10), [28.0] * 10 + [49.0], [4] * 11) if n) == 5     # 7 < 2 · 4


def test_no_fewer_in_panic_even_when_the_load_is_gone() -> None:
    """8 wanted at the height; what is in service meanwhile follows, and the load ends at once."""
    answers = follow(Kpa(target=10), [*([7.0] * 7), 56.0, *([0.0] * 8)], [*([1] * 9), *([8] * 7)])
    assert answers[7:14] == [8] * 7
    assert answers[14] == 4                                 # then halved at most: max_down_rate


def test_it_begins_in_panic_when_several_serve() -> None:
    """Without history it keeps what is there for a window."""
    assert follow(Kpa(target=10), [0.0] * 8, 6) == [6, 6, 6, 6, 6, 6, 6, 3]
    assert follow(Kpa(target=10), [0.0] * 2, 1) == [0, 0]


def test_rates_bound_each_step() -> None:
    assert follow(Kpa(target=1, max_up_rate=2), [70.0], 3) == [6]
    assert follow(Kpa(target=1, max_up_rate=1.1), [70.0], 3) == [4]     # rounded up: it can always grow


def test_scale_down_waits_for_its_delay() -> None:
    """28 wants 4; from the seventh datapoint on, all six are of 7, which wants 1: halved to 2. With 30 s delay the
    larger number stands three datapoints longer."""
    line = [28.0] + [7.0] * 12
    now, later = (follow(Kpa(target=10, scale_down_delay_s=delay), line, [1] * 2 + [4] * 11) for delay in (0, 30))
    first_down = [next(k for k, n in enumerate(answers) if n is not None and n < 4) for answers in (now, later)]
    assert first_down[1] - first_down[0] == 3


def test_minute_datapoints_make_both_windows_the_last_minute() -> None:
    """No average over several datapoints any more: each answer is that of the newest one."""
    assert follow(Kpa(target=10), [7, 7, 14, 7, 7, 7], [1, 1, 1, 2, 2, 2], period_s=60.0) == [1, 1, 2, 2, 1, 1]


def test_no_data_in_the_window_no_opinion() -> None:
    assert follow(Kpa(target=10), [7.0] + [None] * 7, 1)[-2:] == [None, None]
    assert follow(Kpa(target=10), [7.0] + [None] * 5, 1)[-1] == 1


def test_what_cannot_be_is_refused() -> None:
    for values in ({"target": 0}, {"target": 1, "panic_threshold": 0.5}, {"target": 1, "panic_fraction": 2}):
        with pytest.raises(PolicyError):
            resolve("autoscaling", "mmesim.policies.autoscaling.kpa:Kpa", values, HERE)
