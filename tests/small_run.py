"""A small run with everything in it: warm-up, evictions, a surge, scaling, a crash. Driven by the reference data plane,
so that tests of results need no compilation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reference.plane import ReferencePlane

from mmesim.journal import JournalWriter
from mmesim.results.output import OutputWriter
from mmesim.results.run import Run
from mmesim.scenario.build import Build, build
from mmesim.scenario.load import load_scenario
from mmesim.sim.run import simulate

SCENARIO = """
name: small
description: two instances, too many models
seed: 3
duration: 9m
warmup: 90s
endpoint:
  instance_type: ml.g4dn.2xlarge
  instances: {initial: 2, min: 1, max: 3}
  availability_zones: 2
  autoscaling: [{use: scheduled, actions: [{at: 3m, min: 3, max: 3}, {at: 7m, min: 1, max: 1}]}]
  provisioning: {time: {law: constant, mean: 40s}}
models:
  - {profile: bert-base-tensorrt-t4, count: 20, name: "big-{i:02}", gpu_bytes: 1500MiB}
  - {profile: resnet50-pytorch-t4, count: 6, name: "small-{i}"}
workload:
  arrivals: {use: poisson, rate_rps: 4}
  popularity: {use: zipf, s: 0.9}
  surges: [{at: 4m, for: 30s, factor: 3}]
faults: [{use: instance_crash, at: 5m, instance: 1}]
objective: {p99_ms: 5000, error_rate: 1%}
output: {interval: 30s, requests: true}
"""


def small_build(folder: Path, *overrides: str) -> Build:
    """The build of the scenario above; its file is written to `folder`."""
    path = folder / "small.yaml"
    path.write_text(SCENARIO)
    return build(load_scenario(str(path), overrides))


def small_run(folder: Path, *overrides: str, progress: Callable[[int], None] | None = None) -> Run:
    """The run of it, saved as ``folder/out``."""
    built = small_build(folder, *overrides)
    out = OutputWriter(folder / "out")
    journal = JournalWriter(out.path("journal.jsonl.zst"), built)
    run = simulate(built, out=out, journal=journal, progress=progress, plane=ReferencePlane)
    run.write(out)
    out.commit()
    return run
