"""What a workload asks for: rates, the busiest time, bursts, traces, clients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmesim.planner.analytic import demand
from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario
from mmesim.scenario.schema import Scenario

GROUP = {"profile": "bert-large-tensorrt-t4", "count": 6, "name": "m{i}", "load_time": "1s", "gpu_bytes": "1GiB",
         "host_bytes": "10MiB", "artifact_bytes": "1MiB", "disk_bytes": "1MiB"}


def scenario(folder: Path, workload: dict[str, Any], **settings: Any) -> Scenario:
    file = folder / "s.yaml"
    file.write_text(json.dumps({"models": [GROUP], "workload": workload, "duration": "1h",
                                "checks": {"intended_overload": True}} | settings))
    return load_scenario(str(file))


def drawn(given: Scenario) -> tuple[np.ndarray, np.ndarray]:
    """(time in s, model) of every request of a run."""
    source = build(given).arrivals
    assert source is not None
    chunks = list(iter(source.next_chunk, None))
    return (np.concatenate([chunk.t_ns for chunk in chunks]) / 1e9, np.concatenate([chunk.model for chunk in chunks]))


def test_rates_and_busiest_time_of_a_profile_with_a_surge(tmp_path: Path) -> None:
    workload = {"arrivals": {"use": "profile", "rate_rps": 50, "shape": [["0m", 0], ["40m", 2], ["60m", 0]]},
                "popularity": {"use": "zipf", "s": 1, "shuffle": False},
                "surges": [{"at": "5m", "for": "5m", "factor": 4, "models": "m1"}]}
    given = scenario(tmp_path, workload, warmup="4m")
    asked, (at_s, model) = demand(given, window_s=600), drawn(given)
    counted = np.bincount(model[at_s >= 240], minlength=6) / 3360
    assert asked.rates_rps == pytest.approx(counted, rel=0.05)
    assert asked.busiest_start_s == pytest.approx(2000, abs=12)  # up at half the slope that it goes down
    inside = (at_s >= asked.busiest_start_s) & (at_s < asked.busiest_start_s + asked.busiest_window_s)
    assert asked.busiest_rps.sum() == pytest.approx(inside.sum() / asked.busiest_window_s, rel=0.03)
    edges, rps = asked.load_over_time
    assert rps @ np.diff(edges) == pytest.approx((at_s >= 240).sum(), rel=0.02)
    assert edges[0] == 240
    assert len(rps) <= 300


def test_bursts_of_an_mmpp(tmp_path: Path) -> None:
    """Variance over mean of counts in long times, by theory and over many drawn runs."""
    workload = {"arrivals": {"use": "mmpp", "rates_rps": [5, 40], "mean_sojourn": ["20s", "10s"]}}
    given = scenario(tmp_path, workload, duration="2000s")
    asked = demand(given)
    counts = [len(drawn(given.model_copy(update={"seed": seed}))[0]) for seed in range(150)]
    assert asked.dispersion == pytest.approx(np.var(counts) / np.mean(counts), rel=0.35)
    assert asked.rates_rps.sum() == pytest.approx(np.mean(counts) / 2000, rel=0.03)
    assert asked.least_part == pytest.approx(5 / (50 / 3))


def test_a_trace_is_counted(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    at_s, model = np.sort(rng.uniform(0, 3600, 4000)), rng.choice(6, 4000, p=np.array([30, 5, 4, 3, 2, 1]) / 45)
    rows = "\n".join(f"{t:.3f},m{m},{2 if m == 0 else 1}" for t, m in zip(at_s, model, strict=True))
    (tmp_path / "t.csv").write_text(f"timestamp_s,model,items\n{rows}\n")
    asked = demand(scenario(tmp_path, {"trace": "t.csv", "trace_options": {"map": "name"}}, warmup="10m"))
    assert asked.rates_rps == pytest.approx(np.bincount(model[at_s >= 600]) / asked.measured_s, rel=0.01)
    assert asked.items[:2] == pytest.approx([2, 1])
    assert asked.dispersion == 0
    assert asked.repeat < 0.05


def test_clients_ask_for_no_more_than_they_can(tmp_path: Path) -> None:
    given = scenario(tmp_path, {"clients": {"users": 30, "wait": "2s"}})
    asked = demand(given)
    assert asked.users == 30
    assert 13 < asked.rates_rps.sum() < 15
    assert asked.least_part == 0
