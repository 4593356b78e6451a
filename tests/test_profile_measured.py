"""The profiles measured with `mmesim profile analyze`: whole, usable, and judged again on the loads beside them."""

from __future__ import annotations

from statistics import median

import pytest

from benchmarks.road import JUDGED, simulated
from mmesim.packaged import packaged_dir
from mmesim.profile import load_profile, profile_names, profile_path
from mmesim.profile.readers import read_measurements
from mmesim.scenario.build import build
from mmesim.scenario.load import load_scenario
from mmesim.sim.run import simulate

MEASURED = [name for name in profile_names() if load_profile(name).file.measured_on]
POINTS = packaged_dir("profiles") / "measured" / "cpu.csv"


def test_two_models_compute_and_two_sleep() -> None:
    assert MEASURED == ["matmul-large-python-cpu", "matmul-small-python-cpu", "sleep-large-python-cpu",
                        "sleep-small-python-cpu"]


@pytest.mark.parametrize("name", MEASURED)
def test_everything_was_measured_and_says_where(name: str) -> None:
    file = load_profile(name).file
    on = file.measured_on
    assert on is not None and on.cpu and on.triton == "2.51.0" and on.analyzer == "1.58.0" and on.digest
    assert file.load is not None and file.load.time is not None and len(file.load.parallel) == 2
    assert None not in (file.cpu_cores, file.host_cpu, file.host_bytes, file.artifact_bytes, file.disk_bytes,
                        file.unload_time, file.first_inference, file.extract_time, file.load_slowdown, file.frontend)
    assert len(file.interference) >= 2


@pytest.mark.parametrize("name", [name for name in MEASURED if name.startswith("sleep")])
def test_loads_that_no_fit_has_seen_are_predicted(name: str) -> None:
    """Of models that sleep. Those that compute were disturbed by the load generator: docs/validation.md."""
    profile = load_profile(name)
    points = [point for point in read_measurements(POINTS) if point.model == profile.file.model
              and point.source.startswith(JUDGED) and point.concurrency and point.throughput_per_s]
    assert len(points) >= 5
    errors = [simulated(profile_path(name), point.concurrency, items=point.batch_size).request_rps * point.batch_size
              / point.throughput_per_s - 1 for point in points]
    assert median(map(abs, errors)) < 0.08


def test_they_run_together_on_a_cpu_endpoint(tmp_path) -> None:
    """Unload time and slow-down during loads are the profiles'."""
    path = tmp_path / "four.yaml"
    models = "\n".join(f"  - {{profile: {name}, count: 30, name: '{name}-{{i}}'}}" for name in MEASURED)
    path.write_text(f"duration: 10m\nendpoint: {{instance_type: ml.c5.xlarge}}\nmodels:\n{models}\n"
                    "workload: {arrivals: {use: poisson, rate_rps: 20}}\n")
    built = build(load_scenario(str(path)))
    assert {model.unload_s for model in built.models} == {load_profile(name).unload_time_s for name in MEASURED}
    assert built.load_slowdown == max(load_profile(name).load_slowdown or 1.0 for name in MEASURED)
    requests = simulate(built).summary["requests"]
    assert requests["failed"] == 0 and requests["completions"] > 10_000
