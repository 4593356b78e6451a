"""Estimates against simulation: hit ratios, fleet sizes, and which resource asks for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from analytic_cases import case, meets, simulated

from mmesim.planner.analytic import demand, estimate, likely_instances, needs
from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario
from mmesim.scenario.schema import Scenario
from mmesim.sim.run import simulate

MOST = 10


def scenario(folder: Path, group: dict[str, Any], **settings: Any) -> Scenario:
    file = folder / "s.yaml"
    plain = {"profile": "bert-large-tensorrt-t4", "count": 60, "name": "m{i}", "gpu_bytes": "1GiB", "load_time": "2s",
             "host_bytes": "10MiB", "artifact_bytes": "1GiB", "disk_bytes": "1GiB"}
    file.write_text(json.dumps({"models": [plain | group], "duration": "1h", "warmup": "15m",
                                "checks": {"intended_overload": True}} | settings))
    return load_scenario(str(file))


@pytest.mark.parametrize("seed", [2, 4, 10, 13])
def test_the_likely_fleet_is_one_off_at_most(seed: int, tmp_path: Path) -> None:
    given = case(seed, tmp_path)
    likely, _ = likely_instances(given, demand(given), MOST)
    assert meets(simulated(seed, tmp_path, min(likely + 1, MOST)))
    if likely > 2:
        assert not meets(simulated(seed, tmp_path, likely - 2))


@pytest.mark.parametrize(("sessions", "eviction"), [
    ({}, "lru"), ({"repeat": 0.5, "reach": 6}, "lru"), ({"repeat": 0.3}, "fifo"), ({}, "random")])
def test_hit_ratios(sessions: dict[str, float], eviction: str, tmp_path: Path) -> None:
    """In points, with loads that take time; what sessions change is far more than the error."""
    workload = {"arrivals": {"use": "poisson", "rate_rps": 3}, "popularity": {"use": "zipf", "s": 0.9},
                "sessions": sessions}
    endpoint = {"instances": 2, "eviction": {"gpu": eviction}}
    given = scenario(tmp_path, {}, workload=workload, endpoint=endpoint, duration="3h")
    found, run = estimate(given, 2, demand(given)), simulate(build(given)).summary
    assert found.hit_ratio == pytest.approx(run["cache"]["hit_ratio"], abs=0.025)
    assert found.cold_rps == pytest.approx(run["residency"]["loads"] / run["run"]["measured_s"], rel=0.08)


def test_more_instances_never_look_worse(tmp_path: Path) -> None:
    given = case(7, tmp_path)
    asked = demand(given)
    found = [estimate(given, n, asked) for n in range(1, 12)]
    hits, slow = [one.hit_ratio for one in found], [one.p99_ms or 0 for one in found]
    assert hits == sorted(hits)
    assert slow == sorted(slow, reverse=True)


@pytest.mark.parametrize(("group", "workload", "objective", "resource"), [
    ({"count": 60}, {"arrivals": {"use": "poisson", "rate_rps": 3}}, {"cold_start_ratio": 0.02}, "GPU memory"),
    ({"count": 5}, {"arrivals": {"use": "poisson", "rate_rps": 150}}, {"p99_ms": 500}, "GPU time"),
    ({"count": 5, "profile": "resnet50-pytorch-t4"}, {"arrivals": {"use": "poisson", "rate_rps": 300}},
     {"p99_ms": 800}, "host CPU")])
def test_planted_limits(group: dict[str, Any], workload: dict[str, Any], objective: dict[str, float], resource: str,
                        tmp_path: Path) -> None:
    """What asks for most of the fleet is named, by the search and by the table of needs; and it is enough."""
    given = scenario(tmp_path, group, workload=workload, objective=objective)
    asked = demand(given)
    likely, scarce = likely_instances(given, asked, 20)
    assert 1 < likely <= 20
    assert scarce == resource
    estimated = [need for need in needs(given, asked) if not need.certain]
    assert max(estimated, key=lambda need: need.instances).resource == resource
    assert estimate(given, likely, asked).binding == resource


def test_closed_loop_ends_at_its_bottleneck(tmp_path: Path) -> None:
    """200 users of one GPU: it is busy all the time, and they wait for it."""
    given = scenario(tmp_path, {"count": 3, "max_batch_size": 1}, workload={"clients": {"users": 200}})
    found, run = estimate(given, 1, demand(given)), simulate(build(given)).summary
    assert found.use["GPU time"] == pytest.approx(1, abs=0.03)
    assert found.p50_ms == pytest.approx(run["latency"]["all"]["p50"], rel=0.5)
