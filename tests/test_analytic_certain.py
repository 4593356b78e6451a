"""Bounds that are proofs are never broken: fleets below them are simulated, and fail."""

from __future__ import annotations

import json
from math import inf
from pathlib import Path
from typing import Any

from analytic_cases import case, meets, simulated

from mmesim.planner.analytic import demand, least_cost_per_hour, least_instances, needs
from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario
from mmesim.scenario.schema import Scenario
from mmesim.sim.run import simulate

SEEDS = range(100, 112)
ENOUGH = 4
"""Cases that the bounds say something about."""
GROUP = {"profile": "bert-large-tensorrt-t4", "count": 10, "name": "m{i}", "gpu_bytes": "1GiB", "host_bytes": "10MiB",
         "artifact_bytes": "1MiB", "disk_bytes": "1MiB", "load_time": "1s"}


def scenario(folder: Path, overrides: tuple[str, ...] = (), **settings: Any) -> Scenario:
    file = folder / "s.yaml"
    plain = {"duration": "1h", "endpoint": {"instances": 1}, "models": [GROUP],
             "workload": {"arrivals": {"use": "poisson", "rate_rps": 10}},
             "checks": {"intended_overload": True, "hopeless_objective": True}}
    file.write_text(json.dumps(plain | settings))
    return load_scenario(str(file), overrides)


def test_no_fleet_below_the_bound_meets_the_objective(tmp_path: Path) -> None:
    """Dozens of random scenarios, each with one instance fewer than it certainly needs."""
    told = 0
    for seed in SEEDS:
        fixed = case(seed, tmp_path)
        need = least_instances(fixed, demand(fixed))
        below = 20 if need.instances == inf else int(need.instances) - 1
        if below >= 1:
            told += 1
            assert not meets(simulated(seed, tmp_path, below)), f"seed {seed}: {below} instances do, against {need}"
    assert told >= ENOUGH


def test_work_that_a_fleet_must_do(tmp_path: Path) -> None:
    """By hand: 300 requests/s, the least device time of any batch size, 1 % errors, the last minute not counted."""
    workload = {"arrivals": {"use": "poisson", "rate_rps": 300}}
    fixed = scenario(tmp_path, workload=workload, objective={"error_rate": 0.01})
    profile = build(fixed).models[0].profile
    least_s = min(profile.device_s(b) / b for b in range(1, profile.max_batch_size + 1))
    [need] = [need for need in needs(fixed, demand(fixed)) if need.resource == "GPU time" and need.certain]
    simple = 300 * least_s * (1 - 0.01 / 0.99 * 3600 / 3540) * 3540 / 3600
    assert simple * 0.98 < need.instances <= simple  # two parts in a hundred are given away for chance


def test_nothing_is_certain_when_everything_may_fail(tmp_path: Path) -> None:
    fixed = scenario(tmp_path, workload={"arrivals": {"use": "poisson", "rate_rps": 3000}}, objective={"p99_ms": 1000})
    assert least_instances(fixed, demand(fixed)).instances == 1


def test_memory_that_a_target_of_cold_starts_needs(tmp_path: Path) -> None:
    """100 models alike, asked alike, 13.1 GiB on an instance; 10 % may miss: 90 must fit, which takes 7."""
    models = [GROUP | {"count": 100}]
    workload = {"arrivals": {"use": "poisson", "rate_rps": 20}, "popularity": "uniform"}
    fixed = scenario(tmp_path, duration="8h", models=models, workload=workload,
                     objective={"error_rate": 0.0, "cold_start_ratio": 0.1})
    need = least_instances(fixed, demand(fixed))
    assert (need.resource, need.instances) == ("GPU memory", 7)
    sessions = workload | {"sessions": {"repeat": 0.6}}
    again = scenario(tmp_path, duration="8h", models=models, workload=sessions,
                     objective={"error_rate": 0.0, "cold_start_ratio": 0.1})
    assert least_instances(again, demand(again)).instances == 6  # 60 % hit whatever fits: 75 must fit


def test_pinned_models_fit(tmp_path: Path) -> None:
    models = [GROUP | {"count": 30, "pin": True}]
    fixed = scenario(tmp_path, models=models, endpoint={"instances": 20})
    need = least_instances(fixed, demand(fixed))
    assert (need.resource, need.instances) == ("GPU memory", 3)


def test_what_is_too_slow_at_rest_needs_infinitely_many(tmp_path: Path) -> None:
    fixed = scenario(tmp_path, objective={"p99_ms": 1, "error_rate": 0.01})
    need = least_instances(fixed, demand(fixed))
    assert need.instances == inf
    assert least_cost_per_hour(fixed, demand(fixed)) == inf


def test_cost_of_a_fleet_that_scales_itself(tmp_path: Path) -> None:
    """The bound lies below what fleets cost that meet the objective, and above the least size alone."""
    endpoint = {"instances": {"initial": 2, "min": 1, "max": 12}, "provisioning": {"time": "60s"}, "autoscaling": [
        {"use": "target_tracking", "metric": "GPUUtilization", "target": 40, "scale_out_cooldown": "60s",
         "scale_in_cooldown": "120s"}]}
    workload = {"arrivals": {"use": "profile", "rate_rps": 200, "shape": [["0s", 0.2], ["30m", 2], ["60m", 0.2]]}}
    fixed = scenario(tmp_path, endpoint=endpoint, workload=workload, objective={"error_rate": 0.05})
    asked = demand(fixed)
    least, price = least_cost_per_hour(fixed, asked), build(fixed).instance_type.price_per_hour
    assert least_instances(fixed, asked).instances == 1  # it may grow
    assert least is not None
    assert price is not None
    assert least > 1.2 * price
    summary = simulate(build(fixed)).summary
    assert summary["cost"]["per_hour"] >= least
