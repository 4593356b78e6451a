"""Where forecasting beats reacting, and where it does not: pairs of runs on equal seeds.

An instance takes 5 to 6 min to start. The figures stand in docs/policies-built-in/autoscaling.md (`pytest -rP` prints
them), beside those of `mmesim compare spike`.
"""

from __future__ import annotations

from pathlib import Path

from tests.paired_runs import paired

SEEDS = (1, 2)
ERRORS, P99, COST = "requests.error_rate", "latency.all.p99", "cost.per_hour"
OPENING = """
name: opening
description: every two hours the traffic grows sixfold within two minutes, for fifty minutes
duration: 6h
warmup: 2h
endpoint:
  instance_type: ml.g4dn.2xlarge
  instances: {initial: 1, min: 1, max: 6}
  routing: {use: least_outstanding, spill_outstanding: 8}
models: [{profile: bert-large-pytorch-t4, count: 10, name: "bert-{i:02}"}]
workload:
  arrivals: {use: profile, rate_rps: 15, shape: [[0m, 1], [40m, 1], [42m, 6], [92m, 6], [94m, 1], [2h, 1]], period: 2h}
  popularity: {use: zipf, s: 1.0}
"""


def scaled(policy: str, *more: str) -> tuple[str, ...]:
    return (f"endpoint.autoscaling=[{policy}]", *more)


def test_the_opening_hour_is_known_the_second_time(tmp_path: Path) -> None:
    """Target tracking is late every time; the forecast has the instances there, at the price of a higher bill. Without
    a season it is a reactive policy like others, late as they are."""
    staffing = "use: forecast_staffing, instance_rps: 30, beta: 0.5, lead: 8m"
    found = paired(tmp_path, OPENING, {
        "tracking": scaled("{use: target_tracking, metric: GPUUtilization, target: 60, scale_out_cooldown: 200s, "
                           "scale_in_cooldown: 600s}"),
        "forecast": scaled("{" + staffing + ", season: 2h}"), "no season": scaled("{" + staffing + ", season: 0s}"),
        "kpa": scaled("{use: kpa, target: 2, scale_down_delay: 15m}", "endpoint.metrics.period=10s"),
        "slo": scaled("{use: slo_feedback, objective: 500ms}", "endpoint.metrics.period=10s"),
    }, SEEDS, ERRORS, P99, COST)
    assert (found["forecast"][ERRORS] < 0.001).all()
    assert (found["tracking"][ERRORS] > 0.01).all()
    assert (found["no season"][ERRORS] > found["forecast"][ERRORS]).all()
