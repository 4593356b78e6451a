"""The road's last stretch: a profile's closed loop in the simulator, beside Perf Analyzer's on the real server.

    python -m benchmarks.road REPOSITORY --loads 4,6,12,24 -o judged.csv

starts Triton over a model repository and measures each model there, at loads that no fit has seen. The predictions for
such a file stand in docs/validation.md (benchmarks/validation.py).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmesim.calibrate.analyze.settings import find_models
from mmesim.profile.points import OperatingPoint
from mmesim.profile.readers import Given, read_points, write_measurements
from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario
from mmesim.sim.run import simulate
from mmesim.triton import TritonServer, find_tools, running_server

JUDGED = "perf_analyzer"
"""How the source of a point begins that no fit has seen."""
STABILITY_PERCENT = 10
SCENARIO = """
seed: 1
duration: 22s
warmup: 2s
endpoint:
  instance_type: {kind}
  prewarm: {{use: pinned}}
  server: {{frontend_overhead: 0ms}}
profiles: {{measured: {profile}}}
models:
  - {{profile: measured, pin: true, instance_count: {instances}, host_bytes: 64MiB, artifact_bytes: 10MB,
     disk_bytes: 10MB, load_time: 10ms, service_law: {{law: uniform, cv: 0.057735}}}}
workload: {{items: {items}, clients: {{users: {users}, wait: 0s}}}}
"""
"""A closed loop over one model that is there from the start. Sizes and loading play no part in it."""


@dataclass(frozen=True)
class Simulated:
    """What the simulated clients saw; seconds."""

    request_rps: float
    latency_s: float
    p95_s: float


def simulated(profile: Path, users: int, *, items: int = 1, instances: int = 1, kind: str = "ml.m5.large") -> Simulated:
    """A run of the whole simulator: `users` requests of `items` items in flight on one instance of a type."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "loop.yaml"
        path.write_text(SCENARIO.format(profile=profile.absolute(), users=users, items=items, instances=instances,
                                        kind=kind), encoding="utf-8")
        summary = simulate(build(load_scenario(str(path)))).summary
    assert not summary["requests"]["failed"], summary["requests"]
    latency = summary["latency"]["all"]
    return Simulated(summary["requests"]["completions"] / summary["run"]["measured_s"], latency["mean"] / 1e3,
                     latency["p95"] / 1e3)


def perf_points(server: TritonServer, model: str, loads: Iterable[int], folder: Path, *, items: int = 1,
                window_s: float = 2.0) -> list[OperatingPoint]:
    """Runs Perf Analyzer once for each number of requests in flight; the model is loaded already."""
    points = []
    for load in loads:
        out = folder / f"{model}-{items}-{load}.csv"
        command = [find_tools().perf_analyzer, "-m", model, "-u", server.grpc_url, "-i", "grpc", "-b", items,
                   "--concurrency-range", load, "-p", round(1e3 * window_s), "-s", STABILITY_PERCENT,
                   "--verbose-csv", "-f", out]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
        assert done.returncode in (0, 2), done.stdout + done.stderr  # 2: the windows do not agree, and it says so
        points += read_points([out], given=Given(model=model, backend="python", gpu="cpu", batch_size=items)).points
    return points


def main(arguments: Sequence[str]) -> None:
    """Measure the models of a repository at the given loads and request sizes, and write their points."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--loads", default="4,6,12,24")
    parser.add_argument("--items", default="1")
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args(arguments)
    loads, items = ([*map(int, text.split(","))] for text in (given.loads, given.items))
    given.output.write_text(write_measurements(_measured(given.repository, loads, items)), encoding="utf-8")


def _measured(repository: Path, loads: Sequence[int], items: Sequence[int]) -> list[OperatingPoint]:
    points = []
    with tempfile.TemporaryDirectory() as text:
        folder, mark = Path(text), f"road {os.getpid()}"
        with running_server(find_tools().server, repository, mark=mark, log=folder / "log") as server:
            client = server.client()
            for model in find_models(repository):
                client.load(model)
                count = sum(int(group["count"]) for group in client.config(model)["instance_group"])
                most = int(client.config(model)["max_batch_size"])
                for size in items:
                    found = perf_points(server, model, loads, folder, items=size)
                    points += [replace(point, instance_count=count, max_batch_size=most, dynamic_batching=True,
                                       scenario="online", source=f"{JUDGED}, Triton {client.version()}",
                                       at=f"{count} instances, {size} items, {point.concurrency} in flight")
                               for point in found]
                client.unload(model)
    return points


if __name__ == "__main__":
    main(sys.argv[1:])
