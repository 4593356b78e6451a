"""`mmesim profile fit`: what is written is what was fitted, and a run of it gives what the fit says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mmesim.calibrate.serving.curve import offline_curve
from mmesim.calibrate.serving.fit import Estimate, ServingFit
from mmesim.calibrate.serving.fitting import ModelFit
from mmesim.calibrate.serving.groups import Group
from mmesim.calibrate.serving.timing import Setting, Timing
from mmesim.calibrate.serving.written import profile_text
from mmesim.profile import load_profile
from mmesim.profile.points import OperatingPoint
from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario
from mmesim.sim.run import simulate

TIMING = Timing(launch_s=0.4e-3, copy_s=0.1e-3, gap_s=1.5e-3, interference_k=0.5, frontend_s=0.1e-3, network_s=0.3e-3)
ALONE = {1: 4e-3, 2: 5e-3, 4: 7e-3, 8: 12e-3, 16: 22e-3}


def offline(batch: int, seconds: float, **more: object) -> OperatingPoint:
    """A point with one request in flight."""
    point = OperatingPoint(model="m", backend="tensorrt", precision="fp16", gpu="T4", scenario="offline", concurrency=1,
                           batch_size=batch, instance_count=2, max_batch_size=16, latency_s=seconds + 0.5e-3,
                           queue_s=0.0, throughput_per_s=batch / (seconds + 0.5e-3), compute_input_s=0.0,
                           compute_infer_s=seconds, compute_output_s=0.0, source="bench", at=f"line {batch}")
    return replace(point, **more)


def loaded(concurrency: int, latency_s: float, **more: object) -> OperatingPoint:
    """A point of a closed loop."""
    return offline(1, 4e-3, scenario="online", concurrency=concurrency, latency_s=latency_s, compute_infer_s=None,
                   throughput_per_s=concurrency / latency_s, at=f"load {concurrency}", **more)


def known_fit(items: int = 1, **changes: object) -> ModelFit:
    """A fit as if it had been found: this timing, and intervals of nothing."""
    alone = tuple(offline(batch, seconds) for batch, seconds in ALONE.items())
    timing = replace(TIMING, **changes)
    group = Group("m", "tensorrt", "fp16", "T4", "", alone, (loaded(2, 6e-3, batch_size=items),))
    names = ("launch_s", "copy_s", "gap_s", "interference_k", "frontend_s", "network_s")
    estimates = {name: Estimate(getattr(timing, name), 0.0, 1.0) for name in names}
    curve = offline_curve(alone)
    return ModelFit(group, curve, ServingFit(Setting(items, 2, 16), curve, timing, estimates, 0.0, ()))


SCENARIO = """
seed: 1
duration: {duration}
warmup: 2s
endpoint:
  instance_type: ml.g4dn.2xlarge
  prewarm: {{use: pinned}}
  server: {{frontend_overhead: 0ms}}
profiles: {{fitted: fitted.yaml}}
models:
  - {{profile: fitted, pin: true, gpu_bytes: 1GiB, host_bytes: 64MiB, artifact_bytes: 10MB, disk_bytes: 10MB,
     load_time: 10ms, service_law: {{law: uniform, cv: 0.057735}}}}
workload:
  items: {items}
  clients:
    wait: 0s
    stages: [{{until: 1s, users: 0, spawn_rate: 1}}, {{until: {duration}, users: {users}, spawn_rate: {spawn}}}]
output: {{requests: true}}
"""
"""A closed loop over one model that is there from the start; users begin, and work is spread, as in the fit."""


def scenario_of(folder: Path, found: ModelFit, users: int, duration: str = "30s") -> Path:
    """The scenario beside the written profile. (The base memory has no setting: it is given in the profile.)"""
    base = 'framework_base_bytes: {value: 0B, basis: rule, source: s2}\n'
    (folder / "fitted.yaml").write_text(profile_text(found, "fitted") + base, encoding="utf-8")
    path = folder / "loop.yaml"
    round_s = load_profile(folder / "fitted.yaml").service_s(min(users * found.items, 16))
    text = SCENARIO.format(users=users, items=found.items, duration=duration, spawn=round(users / round_s))
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("users", "items", "changes"), [
    (1, 1, {}), (3, 1, {}), (8, 1, {}), (40, 1, {}), (12, 4, {}), (16, 1, {"prefetched_batches": 4}),
    (24, 1, {"frontend_threads": 4, "frontend_s": 4e-3})])
def test_a_run_of_the_written_profile_gives_what_the_fit_says(tmp_path, users, items, changes):
    found = known_fit(items, **changes)
    run = simulate(build(load_scenario(str(scenario_of(tmp_path, found, users)))))
    fitted = found.fit.at(users, rounds=240)  # long: such loops change between regimes, which is worth a percent or two
    requests = run.summary["requests"]
    assert requests["failed"] == 0
    assert requests["completions"] / run.summary["run"]["measured_s"] == pytest.approx(fitted.request_rps, rel=0.02)
    assert run.summary["latency"]["all"]["mean"] == pytest.approx(fitted.latency_s * 1e3, rel=0.02)
