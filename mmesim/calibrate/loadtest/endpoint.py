"""The endpoint under the load generator: from a handful of numbers to a run of the simulator.

Everything goes the way of the product: a profile file and a scenario file are written to a temporary folder, loaded and
checked as a user's would be, built and simulated. All copies are loaded before the first user comes; what a load costs
is no part of a load test on a full endpoint, so it is made short.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmesim.calibrate.loadtest.generator import GeneratorSpec
from mmesim.calibrate.loadtest.plane import GeneratedPlane
from mmesim.scenario.build import Build, build
from mmesim.scenario.load import load_scenario
from mmesim.sim.run import simulate
from mmesim.units import ns
from mmesim.workload.types import StageSpec

WARM_UP_S = 30.0
"""Simulated time before the first user: all copies are loaded then."""
MOST_BATCH = 32
"""max_batch_size where no profile says it: that of the benchmark's model configurations."""


@dataclass(frozen=True, slots=True)
class LoadTest:
    """What is known of a load test beforehand."""

    instance_type: str
    gpu: str
    copies: int
    stages: tuple[StageSpec, ...]
    wait_s: tuple[float, float]
    """Bounds of Locust's wait_time = between(…)."""
    processes: int
    setup_s: float


@dataclass(frozen=True, slots=True)
class Timing:
    """What is calibrated. All in seconds but the last."""

    client_s: float
    """Work of one of the generator's serial processes for a request."""
    device_s: float
    """Device time of a batch of one; b requests take b times as long."""
    overhead_s: float
    """All the rest: network, front end, server."""
    client_cv: float
    """Spread of the serial work."""


@dataclass(frozen=True)
class Latencies:
    """Every request of a run as the client saw it, in order of ending: times since the first user came."""

    end_s: NDArray[np.float64]
    latency_ms: NDArray[np.float64]
    failed: NDArray[np.bool_]


class Endpoint:
    """Simulates a load test with any :class:`Timing`."""

    def __init__(self, test: LoadTest, until_s: float, folder: Path) -> None:
        """`until_s`: how much of the ramp is simulated. Raises InputError for an instance type that is not known."""
        self._test, self._folder = test, folder
        self._builds: dict[int, Build] = {}
        self._stages = [{"until": f"{WARM_UP_S}s", "users": 0, "spawn_rate": 1}, *_stages(test.stages, until_s)]
        self._duration_s = WARM_UP_S + until_s

    def run(self, timing: Timing, seed: int) -> Latencies:
        """One run of the simulator."""
        test = self._test
        built = _timed(self._build(seed), timing)
        generator = GeneratorSpec(test.processes, timing.client_s, timing.client_cv, test.setup_s)
        planes: list[GeneratedPlane] = []

        def plane(*parts: Any) -> GeneratedPlane:
            planes.append(GeneratedPlane(generator, seed, *parts))
            return planes[0]

        simulate(built, plane=plane)
        return _latencies(planes[0].generator.ended)

    def _build(self, seed: int) -> Build:
        """Through the product's own door, once a seed. (JSON is YAML.)"""
        if seed not in self._builds:
            profile, scenario = self._folder / "profile.yaml", self._folder / "scenario.yaml"
            profile.write_text(json.dumps(_profile(self._test.gpu)), encoding="utf-8")
            scenario.write_text(json.dumps(self._settings(seed)), encoding="utf-8")
            self._builds[seed] = build(load_scenario(str(scenario)))
        return self._builds[seed]

    def _settings(self, seed: int) -> dict[str, Any]:
        test = self._test
        low, high = (f"{bound}s" for bound in test.wait_s)
        return {
            "name": "load-test", "seed": seed, "duration": f"{self._duration_s}s",
            "endpoint": {"instance_type": test.instance_type, "instances": 1, "prewarm": {"use": "pinned"},
                         "server": {"gpu_memory_threshold": 1.0, "frontend_overhead": 0}},
            "profiles": {"calibrated": "profile.yaml"},
            "models": [{"profile": "calibrated", "count": test.copies, "name": "copy-{i}", "pin": True,
                        "load_time": "1ms"}],
            "workload": {"popularity": "uniform", "clients": {
                "wait": {"law": "uniform", "low": low, "high": high}, "stages": self._stages}},
            "checks": {"intended_overload": True},
            "output": {"requests": True, "journal": False, "trace": False, "report": False},
        }


@contextmanager
def endpoint(test: LoadTest, until_s: float) -> Iterator[Endpoint]:
    """An :class:`Endpoint` and the folder that it writes to."""
    with TemporaryDirectory(prefix="mmesim-load-test-") as folder:
        yield Endpoint(test, until_s, Path(folder))


def _stages(stages: Sequence[StageSpec], until_s: float) -> Iterator[dict[str, Any]]:
    """The stages that begin before `until_s`, shifted behind the warm-up; the last lasts to the end."""
    begins_s = 0.0
    for n, stage in enumerate(stages):
        if begins_s >= until_s:
            return
        ends_s = max(stage.until_s, until_s + 1) if n == len(stages) - 1 else stage.until_s
        yield {"until": f"{WARM_UP_S + ends_s}s", "users": stage.users, "spawn_rate": stage.spawn_rate}
        begins_s = stage.until_s


def _timed(built: Build, timing: Timing) -> Build:
    """The run with these times in place of the profile's, and policies of its own."""
    first = built.models[0].service
    table = np.array([0, *(max(1, ns(b * timing.device_s)) for b in range(1, len(first.service_ns)))], np.int64)
    service = replace(first, service_ns=table, overhead_ns=ns(timing.overhead_s))
    models = tuple(replace(model, service=service) for model in built.models)
    return replace(built, models=models, policies=deepcopy(built.policies),
                   plane=replace(built.plane, services=(service,) * len(models)))


def _profile(gpu: str) -> dict[str, Any]:
    """A profile with the times still to be put in; memory and files are small, they play no part here."""
    def known(value: Any) -> dict[str, Any]:
        return {"value": value, "basis": "estimated", "source": "fit"}

    return {
        "name": "calibrated", "model": "calibrated", "backend": "any", "precision": "any", "gpu": gpu,
        "framework": "any", "sources": {"fit": "fitted to the first polls of a load test"},
        "max_batch_size": known(MOST_BATCH), "instance_count": known(1), "preferred_batch_sizes": known([]),
        "max_queue_delay": known("0s"), "gpu_share": known(1.0), "overhead": known("1ms"),
        "host_cpu": {"per_request": known("0s"), "per_item": known("0s")},
        "latency": {"basis": "estimated", "source": "fit", "batches": [{"batch": 1, "infer": "1ms"}]},
        "gpu_bytes": known("1MiB"), "framework_base_bytes": known("0B"), "host_bytes": known("1MiB"),
        "artifact_bytes": known("1MB"), "disk_bytes": known("1MB"), "load": {"fixed": known("1ms")},
    }


def _latencies(ended: Sequence[tuple[int, int, bool]]) -> Latencies:
    rows = np.array(ended, np.int64).reshape(-1, 3)
    return Latencies(rows[:, 0] / 1e9 - WARM_UP_S, rows[:, 1] / 1e6, rows[:, 2] != 0)
