"""Random small scenarios on which arithmetic is judged by simulation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mmesim.errors import InputError
from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario
from mmesim.scenario.schema import Scenario
from mmesim.sim.run import simulate

TYPES = {"ml.g4dn.xlarge": ("resnet50-pytorch-t4", "bert-base-tensorrt-t4", "bert-large-pytorch-t4"),
         "ml.g4dn.2xlarge": ("resnet50-tensorrt-t4", "bert-large-tensorrt-t4", "bert-dist6l-tensorrt-t4"),
         "ml.g6.xlarge": ("bert-base-tensorrt-l4", "bert-large-tensorrt-l4")}
EVICTIONS = ("lru", "lru", "fifo", "lfu", "gdsf", "random")


def case(seed: int, folder: Path, instances: int = 1) -> Scenario:
    """The scenario of this number. Raises InputError when so few instances are refused at the door."""
    file = folder / f"case-{seed}.yaml"
    if not file.exists():
        file.write_text(json.dumps(settings(seed)))
    return load_scenario(str(file), [f"endpoint.instances={instances}"])


def settings(seed: int) -> dict[str, Any]:
    """As in a scenario file."""
    rng = np.random.default_rng([20261, seed])
    kind = rng.choice(list(TYPES))
    groups = [_group(rng, str(rng.choice(TYPES[kind])), k) for k in range(rng.integers(1, 3))]
    rate = float(np.exp(rng.uniform(np.log(3), np.log(400))))
    workload: dict[str, Any] = {"arrivals": _arrivals(rng, rate), "popularity": _popularity(rng)}
    if rng.random() < 0.5:
        workload["sessions"] = {"repeat": float(rng.uniform(0.1, 0.7)), "reach": float(rng.choice([1, 3, 8, 20]))}
    if rng.random() < 0.2:
        workload["surges"] = [{"at": "10m", "for": "4m", "factor": 3, "models": str(rng.choice(["*", "m0-*"]))}]
    if rng.random() < 0.2:
        workload["retries"] = {"attempts": 4}
    return {"seed": seed, "duration": "20m", "warmup": "5m", "models": groups, "workload": workload,
            "endpoint": {"instance_type": str(kind), "eviction": {"gpu": str(rng.choice(EVICTIONS))}},
            "checks": {"intended_overload": True, "hopeless_objective": True}, "objective": _objective(rng),
            "output": {"journal": False, "trace": False, "report": False}}


def _group(rng: np.random.Generator, profile: str, k: int) -> dict[str, Any]:
    size = int(np.exp(rng.uniform(np.log(150), np.log(2500))))
    return {"profile": profile, "name": f"m{k}-{{i:03}}", "count": int(rng.integers(4, 60)), "gpu_bytes": f"{size}MiB",
            "host_bytes": "50MiB", "artifact_bytes": f"{size}MiB", "disk_bytes": f"{size}MiB",
            "load_time": f"{rng.uniform(0.3, 6):.3f}s", "weight": float(rng.choice([1.0, 1.0, 3.0]))}


def _arrivals(rng: np.random.Generator, rate: float) -> dict[str, Any]:
    return [{"use": "poisson", "rate_rps": rate}, {"use": "gamma", "rate_rps": rate, "cv": 3.0},
            {"use": "mmpp", "rates_rps": [0.6 * rate, 2.2 * rate], "mean_sojourn": ["180s", "60s"]},
            {"use": "profile", "rate_rps": rate, "shape": [["0s", 0.5], ["12m", 1.8], ["20m", 0.6]]},
            ][int(rng.choice([0, 0, 1, 2, 3]))]


def _popularity(rng: np.random.Generator) -> dict[str, Any]:
    if rng.random() < 0.2:
        return {"use": "uniform"}
    if rng.random() < 0.15:
        return {"use": "drifting", "s": 1.0, "every": "2m", "swap": 0.3}
    return {"use": "zipf", "s": float(rng.uniform(0.5, 1.4)), "shuffle": bool(rng.random() < 0.5)}


def _objective(rng: np.random.Generator) -> dict[str, Any]:
    asked: dict[str, Any] = {"error_rate": 0.01}
    if rng.random() < 0.7:
        asked["p99_ms"] = float(np.exp(rng.uniform(np.log(150), np.log(5000))))
    if rng.random() < 0.5 or "p99_ms" not in asked:
        asked["cold_start_ratio"] = float(np.exp(rng.uniform(np.log(0.005), np.log(0.2))))
    return asked


def simulated(seed: int, folder: Path, instances: int, runs: int = 1) -> dict[str, Any] | None:
    """The summary of a run; None when the scenario is refused."""
    try:
        scenario = case(seed, folder, instances)
    except InputError:
        return None
    return simulate(build(scenario.model_copy(update={"seed": seed + 1000 * (runs - 1)}))).summary


def meets(summary: dict[str, Any] | None) -> bool:
    """Whether the objective is met."""
    return summary is not None and bool(summary["objective"]["met"])
