"""Autoscaling policies on hand-worked time lines: one datapoint a minute, capacity in service at once or later."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mmesim.core.policy import AutoscalingPolicy
from mmesim.policies.autoscaling.fixed import Fixed
from mmesim.policies.autoscaling.scheduled import Action, Scheduled
from mmesim.policies.autoscaling.step import Step, StepScaling, percent_change
from mmesim.policies.autoscaling.target_tracking import TargetTracking
from mmesim.testing.views import FakeMetrics

MINUTE_NS = 60_000_000_000


def ask(policy: AutoscalingPolicy, values: Sequence[float | None], capacity: int, minute: int = 0, *,
        desired: int | None = None, name: str = "GPUUtilization.Average", period_s: float = 60.0) -> int | None:
    """One decision from a history of datapoints."""
    wanted = capacity if desired is None else desired
    return policy.desired(FakeMetrics({name: values}, wanted, capacity, period_s=period_s), minute * MINUTE_NS)


def run(policy: AutoscalingPolicy, values: Sequence[float | None], start: int, boot_minutes: int = 0) -> list[int]:
    """Desired instances after each minute when every wish is granted; new instances serve after `boot_minutes`."""
    desired = [start]
    for minute in range(len(values)):
        in_service = min(desired[max(0, len(desired) - 1 - boot_minutes):])
        wish = ask(policy, values[:minute + 1], in_service, minute, desired=desired[-1])
        desired.append(desired[-1] if wish is None else wish)
    return desired[1:]


def tracking(**values: float | bool | str) -> TargetTracking:
    return TargetTracking(**{"metric": "GPUUtilization", "target": 100.0, **values})  # type: ignore[arg-type]


def test_fixed() -> None:
    assert ask(Fixed(3), [], 1) == 3


# Target tracking

def test_proportional_step() -> None:
    assert ask(tracking(), [150] * 3, 4) == 6


def test_out_needs_three_of_three_above() -> None:
    assert ask(tracking(), [150, 150], 4) == 4
    assert ask(tracking(), [150, 100, 150], 4) == 4             # at the target is not above it
    assert ask(tracking(), [150, None, 150], 4) == 4
    assert ask(tracking(), [50] * 10 + [101] * 3, 4) == 5


def test_the_newest_datapoint_sets_the_size() -> None:
    assert ask(tracking(), [400, 300, 120], 10) == 12


def test_a_metric_exactly_on_a_multiple_is_not_rounded_up() -> None:
    assert ask(tracking(target=0.3), [0.9] * 3, 3) == 9         # 3 * 0.9 / 0.3 is 9.000000000000002 in floats


def test_in_needs_fifteen_of_fifteen_below_ninety_percent() -> None:
    assert ask(tracking(), [40] * 14, 4) == 4
    assert ask(tracking(), [40] * 15, 4) == 2
    assert ask(tracking(), [90] + [40] * 14, 4) == 4            # 90 is not below 90
    assert ask(tracking(), [40] * 14 + [None], 4) == 4


def test_in_does_not_push_the_metric_back_above_the_target() -> None:
    assert ask(tracking(), [60] * 15, 2) == 2                   # one instance would stand at 120
    assert ask(tracking(), [50] * 15, 2) == 1
    assert ask(tracking(), [74] + [50] * 14, 4) == 3            # the highest datapoint counts: 4 * 0.74 = 2.96


def test_no_traffic_goes_to_zero_and_leaves_the_rest_to_the_minimum() -> None:
    assert ask(tracking(), [0] * 15, 4) == 0


def test_no_data_no_opinion() -> None:
    assert ask(tracking(), [], 4) is None
    assert ask(tracking(), [None] * 20, 4) is None


def test_disable_scale_in_has_no_opinion_below_the_target() -> None:
    assert ask(tracking(disable_scale_in=True), [10] * 15, 4) is None
    assert ask(tracking(disable_scale_in=True), [150] * 3, 4) == 6


def test_invocations_per_instance_are_a_sum_per_minute() -> None:
    policy = TargetTracking(metric="InvocationsPerInstance", target=600)
    assert ask(policy, [900] * 3, 2, name="InvocationsPerInstance.Sum") == 3
    again = TargetTracking(metric="InvocationsPerInstance", target=600)
    # 150 in 10 s are 900 a minute
    assert ask(again, [150] * 3, 2, name="InvocationsPerInstance.Sum", period_s=10.0) == 3


def test_out_cooldown_allows_only_a_larger_scale_out() -> None:
    # 4 -> 6 in minute 2. Until minute 7 a need for two more is what was added already
    values = [150] * 3 + [130] * 3
    assert run(tracking(), values, 4) == [4, 4, 6, 6, 6, 6]           # ceil(6 * 1.3) = 8: two more than in service
    # ceil(6 * 1.5) = 9: three more than the four before, one more than there are
    assert run(tracking(), [150] * 3 + [150], 4) == [4, 4, 6, 7]
    # the cooldown over, the need counts from the present: ceil(6 * 1.3) = 8
    assert run(tracking(), [150] * 3 + [130] * 5, 4) == [4, 4, 6, 6, 6, 6, 6, 8]


def test_out_cooldown_of_zero_counts_nothing() -> None:
    assert run(tracking(scale_out_cooldown_s=0), [150] * 3 + [130], 4) == [4, 4, 6, 8]


def test_capacity_on_its_way_counts_beyond_the_cooldown() -> None:
    # Instances take 8 minutes: the metric stays at 150 on four instances, and six is all that is needed
    assert run(tracking(scale_out_cooldown_s=60), [150] * 9, 4, boot_minutes=8) == [4, 4, 6, 6, 6, 6, 6, 6, 6]


def test_a_lost_instance_is_not_ordered_twice() -> None:
    # Six wanted, four serve (two crashed): 150 on four needs six, which are on their way
    assert ask(tracking(), [150] * 3, 4, desired=6) == 6


def test_in_cooldown_holds_the_next_scale_in() -> None:
    policy = tracking(in_datapoints=1)
    # 10 -> 5 in minute 0; wishes of minutes 1 to 4 wait, minute 5 is 300 s later
    assert run(policy, [50, 50, 50, 50, 50, 50], 10) == [5, 5, 5, 5, 5, 3]


def test_scale_out_cuts_the_in_cooldown_short() -> None:
    policy = tracking(in_datapoints=1, out_datapoints=1, scale_in_cooldown_s=600)
    assert run(policy, [50, 140, 50], 10) == [5, 7, 4]                # without the scale-out: 5, 5 until minute 10
    assert run(tracking(in_datapoints=1, scale_in_cooldown_s=600), [50, 95, 50], 10) == [5, 5, 5]


def test_an_outvoted_wish_starts_no_cooldown() -> None:
    policy = tracking(in_datapoints=1)
    assert [ask(policy, [50] * (n + 1), 10, n) for n in range(3)] == [5, 5, 5]    # never granted: it keeps wishing


@pytest.mark.parametrize("wrong", [{"target": 0}, {"out_datapoints": 0}, {"in_fraction": 1.1}, {"statistic": "mean"},
                                   {"scale_in_cooldown_s": -1.0}, {"target": float("nan")}])
def test_impossible_parameters(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).removesuffix("_s")):
        tracking(**wrong)


# Step scaling

@pytest.mark.parametrize(("capacity", "percent", "least", "wanted"), [
    # Application Auto Scaling: beyond one rounds toward zero, below one counts as one
    (10, 127, 1, 12), (10, 67, 1, 6), (10, -67, 1, -6), (10, 7, 1, 1), (10, -7, 1, -1), (10, 0, 1, 0),
    (10, 10, 1, 1), (10, 19, 1, 1), (10, 20, 1, 2), (4, 25, 2, 2), (4, -25, 2, -2), (100, 5, 2, 5)])
def test_percent_change(capacity: int, percent: int, least: int, wanted: int) -> None:
    assert percent_change(capacity, percent, least) == wanted


def step(*steps: Step, **values: object) -> StepScaling:
    return StepScaling(**{"metric": "GPUUtilization", "threshold": 70.0, "steps": steps, "datapoints": 1, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(("value", "wanted"), [(70, None), (70.5, 5), (79.9, 5), (80, 6), (89.9, 6), (90, 8), (1e9, 8)])
def test_bands_above_hold_their_lower_bound(value: float, wanted: int | None) -> None:
    bands = (Step(1, 0, 10), Step(2, 10, 20), Step(4, 20, None))
    assert ask(step(*bands), [value], 4) == wanted


@pytest.mark.parametrize(("value", "wanted"), [(30, None), (29, 3), (20, 2), (20.1, 3), (19.9, 2), (0, 2)])
def test_bands_below_hold_their_upper_bound(value: float, wanted: int | None) -> None:
    bands = (Step(-1, -10, 0), Step(-2, None, -10))
    assert ask(step(*bands, threshold=30.0, comparison="below"), [value], 4) == wanted


def test_step_needs_its_datapoints_and_has_no_opinion_otherwise() -> None:
    policy = step(Step(1, 0), datapoints=3)
    assert ask(policy, [], 4) is None
    assert ask(policy, [80, 80], 4) is None
    assert ask(policy, [80, None, 80], 4) is None
    assert ask(policy, [80, 60, 80], 4) is None
    assert ask(policy, [80, 80, 80], 4) == 5


def test_a_gap_between_bands_changes_nothing() -> None:
    assert ask(step(Step(1, 0, 10), Step(2, 20)), [85], 4) is None


def test_exact_capacity_and_percent() -> None:
    assert ask(step(Step(7, 0), adjustment="exact_capacity"), [80], 4) == 7
    assert ask(step(Step(50, 0), adjustment="percent_change_in_capacity"), [80], 4) == 6
    assert ask(step(Step(10, 0), adjustment="percent_change_in_capacity", min_adjustment=2), [80], 4) == 6
    assert ask(step(Step(-9, 0)), [80], 4) == 0


def test_step_cooldown_counts_what_was_added() -> None:
    bands = (Step(2, 0, 20), Step(3, 20))
    # 4 -> 6 in minute 0; three more than four is seven; in minute 6, 300 s after the second activity, two more
    assert run(step(*bands), [80, 80, 95, 80, 80, 80, 80], 4) == [6, 6, 7, 7, 7, 7, 7]
    assert run(step(*bands), [80] * 6, 4) == [6, 6, 6, 6, 6, 8]


def test_step_waits_for_capacity_on_its_way() -> None:
    # The cooldown of 300 s is over in minute 5, the instance serves from minute 7 on
    assert run(step(Step(1, 0)), [80] * 9, 1, boot_minutes=6) == [2, 2, 2, 2, 2, 2, 2, 3, 3]


def test_step_in_cooldown() -> None:
    policy = step(Step(-1, None, 0), comparison="below", threshold=30.0)
    assert run(policy, [10] * 7, 9) == [8, 8, 8, 8, 8, 7, 7]


@pytest.mark.parametrize(("steps", "values", "told"), [
    ((), {}, "steps is empty"),
    ((Step(1, 10, 10),), {}, "from must lie below to"),
    ((Step(1, 0, 10), Step(2, 9)), {}, "overlap between 9 and 10"),
    ((Step(1, 0), Step(2, 5)), {}, "overlap"),
    ((Step(1, 0),), {"min_adjustment": 2}, "percent_change_in_capacity only"),
    ((Step(-1, 0),), {"adjustment": "exact_capacity"}, "negative add"),
])
def test_impossible_steps(steps: tuple[Step, ...], values: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        step(*steps, **values)


# Scheduled scaling

HOUR_NS = 60 * MINUTE_NS


def test_scheduled_bounds_follow_the_clock() -> None:
    policy = Scheduled((Action(at_s=3600, min=4, max=8), Action(at_s=6 * 3600, every_s=24 * 3600, min=2)))
    assert policy.desired(FakeMetrics(), 0) is None
    wanted = {0: (None, None), 1: (4, 8), 5: (4, 8), 6: (2, 8), 29: (2, 8), 30: (2, 8)}
    assert {hour: policy.bounds(hour * HOUR_NS) for hour in wanted} == wanted


def test_day_and_night() -> None:
    day, night = Action(at_s=8 * 3600, every_s=24 * 3600, min=5), Action(at_s=20 * 3600, every_s=24 * 3600, min=1)
    policy = Scheduled((day, night))
    hours = {7: None, 8: 5, 19: 5, 20: 1, 31: 1, 32: 5, 44: 1}
    assert {hour: policy.bounds(hour * HOUR_NS)[0] for hour in hours} == hours


def test_of_two_actions_at_one_time_the_last_counts() -> None:
    assert Scheduled((Action(min=2), Action(min=3))).bounds(0) == (3, None)


@pytest.mark.parametrize(("values", "told"), [({}, "both missing"), ({"min": 3, "max": 2}, "above max"),
                                              ({"min": 1, "every_s": 0.0}, "every"), ({"min": -1}, "min is -1")])
def test_impossible_actions(values: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Action(**values)  # type: ignore[arg-type]
