"""`mmesim profile analyze` without a server: plan, resumption, processes, page cache, parsing, assembly, what lacks."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmesim.calibrate.analyze import AnalyzeSettings, Progress, make_plan, pagecache, run_plan
from mmesim.calibrate.analyze.assemble import write_profiles
from mmesim.calibrate.analyze.bench import throughput_rps
from mmesim.calibrate.analyze.device import catalog_name, parse_metrics, parse_smi
from mmesim.calibrate.analyze.numbers import numbers_of
from mmesim.calibrate.analyze.plan import Plan, Step
from mmesim.calibrate.analyze.results import Results
from mmesim.calibrate.analyze.run import changed_steps, result_of
from mmesim.calibrate.analyze.settings import find_models, renamed, write_scratch_repository
from mmesim.calibrate.serving.curve import BatchCurve
from mmesim.calibrate.serving.loop import Observed, closed_loop
from mmesim.calibrate.serving.timing import Setting, Timing
from mmesim.errors import InputError
from mmesim.profile import describe, load_profile
from mmesim.profile.points import OperatingPoint
from mmesim.profile.write import profile_yaml
from mmesim.scenario.load import load_scenario
from mmesim.triton import processes, write_example
from mmesim.units import MIB, parse_duration_s
from mmesim.yamldoc import parse_document


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return write_example(tmp_path / "models")


@pytest.fixture
def settings(repository: Path, tmp_path: Path) -> AnalyzeSettings:
    return AnalyzeSettings(repository=repository, folder=tmp_path / "run", models=("sleep-small", "sleep-large"))


# The plan ------------------------------------------------------------------------------------------------------------

def _keys(plan: Plan) -> dict[str, str]:
    return {step.name: step.key for step in plan.steps}


def test_a_changed_grid_concerns_the_grid_alone(settings: AnalyzeSettings) -> None:
    before, after = _keys(make_plan(settings)), _keys(make_plan(replace(settings, concurrencies=(1, 16))))
    assert {name for name in before if before[name] != after[name]} == {"grid/sleep-small", "grid/sleep-large"}


def test_a_changed_file_concerns_every_step_of_its_model_and_no_other(settings: AnalyzeSettings) -> None:
    before = _keys(make_plan(settings))
    (settings.model_folder("sleep-small") / "1" / "weights.bin").write_bytes(b"others")
    after = _keys(make_plan(settings))
    assert {name for name in before if before[name] != after[name]} == {name for name in before if "small" in name}


def test_only_and_skip_choose_kinds_but_never_what_the_model_is(settings: AnalyzeSettings) -> None:
    plan = make_plan(replace(settings, kinds=("memory",)))
    assert {step.kind for step in plan.steps} == {"model", "memory"}


def test_a_server_elsewhere_is_not_asked_for_what_needs_files_or_processes(settings: AnalyzeSettings) -> None:
    plan = make_plan(replace(settings, repository=None, url="http://elsewhere:8000", gpu="T4"))
    names = {step.name for step in plan.steps}
    assert "load/sleep-small/warm" in names and "interference/sleep-small+sleep-large" in names
    assert not any(word in name for name in names for word in ("cold", "parallel", "work", "small+sleep-small"))
    assert any("runs elsewhere" in remark for remark in plan.remarks)


def test_unknown_model_and_empty_repository_are_told(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'sleep-large'"):
        find_models(repository, ("sleep-largo",))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no model"):
        find_models(tmp_path / "empty")


def test_copies_are_links_under_other_names(settings: AnalyzeSettings) -> None:
    scratch = write_scratch_repository(settings)
    copy = scratch / "sleep-small--copy1"
    assert 'name: "sleep-small--copy1"' in (copy / "config.pbtxt").read_text()
    assert (copy / "1").resolve() == (settings.model_folder("sleep-small") / "1").resolve()


def test_only_the_models_own_name_is_changed() -> None:
    config = 'name: "a"\ninput [{ name: "a" }]\n'
    assert renamed(config, "a", "b") == 'name: "b"\ninput [{ name: "a" }]\n'


# Running and going on ------------------------------------------------------------------------------------------------

def _plan_of(settings: AnalyzeSettings, *steps: tuple[str, str, Callable[[Any], dict[str, Any]]]) -> Plan:
    made = tuple(Step(name, "load", {"sleep-small": "d"}, 1.0, key, measure) for name, key, measure in steps)
    return Plan(settings, made, {"sleep-small": "d"}, ())


def test_a_run_goes_on_where_it_was_killed(settings: AnalyzeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmesim.calibrate.analyze.bench.Bench.triton_version", "2.51.0")
    done: list[str] = []

    def measure(name: str, fails: bool = False) -> Callable[[Any], dict[str, Any]]:
        def run(bench: Any) -> dict[str, Any]:
            if fails:
                raise KeyboardInterrupt
            done.append(name)
            return {"name": name}
        return run

    told: list[Progress] = []
    with pytest.raises(KeyboardInterrupt):
        run_plan(_plan_of(settings, ("a", "1", measure("a")), ("b", "1", measure("b", fails=True))), told.append)
    plan = _plan_of(settings, ("a", "1", measure("a")), ("b", "1", measure("b")), ("c", "1", measure("c")))
    run_plan(plan, told.append)
    assert done == ["a", "b", "c"]
    assert [(at.done, at.step) for at in told] == [(0, "a"), (1, "b"), (1, "b"), (2, "c"), (3, "")]
    other = _plan_of(settings, ("a", "2", measure("a again")), ("b", "1", measure("b")))
    assert changed_steps(other) == ["a"]
    run_plan(other, told.append)
    assert done[-1] == "a again"
    found = result_of(settings.folder, other.steps[0])
    assert found is not None and found["result"] == {"name": "a again"}


def test_everything_that_was_started_ends_even_in_a_session_of_its_own(tmp_path: Path) -> None:
    shell = "setsid sleep 321 & trap '' TERM; sleep 322"
    with processes.started(["sh", "-c", shell], "the test", tmp_path / "log") as process:
        deadline_s = time.monotonic() + 10
        while len(processes.marked("the test")) < 3 and time.monotonic() < deadline_s:
            time.sleep(0.02)
        assert len(processes.marked("the test")) == 3
        assert set(processes.tree(process.pid)) <= set(processes.marked("the test"))
        processes.end_marked("the test", grace_s=0.3)
    assert processes.marked("the test") == []


def test_memory_and_cpu_of_a_tree(tmp_path: Path) -> None:
    code = "b = bytearray(64 << 20); b[::4096] = b'x' * len(b[::4096]); print('full', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"full\n"
        used = processes.usage(process.pid)
        process.communicate(b"\n")
    assert 64 * MIB < used.pss_bytes <= used.rss_bytes < 160 * MIB
    assert 0 <= used.cpu_s < 10


def test_files_leave_the_page_cache(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(np.random.default_rng(1).bytes(3 * MIB))
    path.read_bytes()
    assert pagecache.resident([path]) == 1.0
    if pagecache.drop([path]) == 1.0:
        pytest.skip(f"{tmp_path} is in memory only: nothing can be dropped")
    assert pagecache.resident([path]) == 0.0


# Parsing -------------------------------------------------------------------------------------------------------------

SMI = "Tesla T4, 535.183.01, 15360, 1457\nTesla T4, 535.183.01, 15360, 3\n"
METRICS = """\
# HELP nv_gpu_memory_used_bytes GPU used memory, in bytes
# TYPE nv_gpu_memory_used_bytes gauge
nv_gpu_memory_used_bytes{gpu_uuid="GPU-8557549f-9c89-4384-8bd6-1fd823c342e0"} 872415232.000000
nv_gpu_memory_total_bytes{gpu_uuid="GPU-8557549f-9c89-4384-8bd6-1fd823c342e0"} 25769803776.000000
nv_inference_request_success{model="m",version="1"} 12
"""


def test_nvidia_smi_and_metrics_as_recorded() -> None:
    first, second = parse_smi(SMI)
    assert (first.name, first.driver, first.total_bytes, first.used_bytes) == \
        ("Tesla T4", "535.183.01", 15360 * MIB, 1457 * MIB)
    assert second.used_bytes == 3 * MIB
    assert (parse_metrics(METRICS), parse_metrics("nv_inference_count 3\n")) == (872415232, None)
    assert [catalog_name(name) for name in ("Tesla T4", "NVIDIA A10G", "NVIDIA H100 80GB HBM3", "NVIDIA L4",
                                            "Tesla V100-SXM2-16GB", "Odd GPU")] == \
        ["T4", "A10G", "H100", "L4", "V100", "Odd GPU"]


def test_throughput_counts_the_parts_inside_the_window() -> None:
    spans = np.array([(-1.0, 1.0), (1.0, 2.0), (1.5, 2.5), (5.0, 6.0)])
    assert throughput_rps(spans, 0.0, 2.0) == pytest.approx((0.5 + 1 + 0.5) / 2)


# Assembly ------------------------------------------------------------------------------------------------------------

CONFIG = {"backend": "onnxruntime", "max_batch_size": 8, "input": [{"name": "X", "data_type": "TYPE_FP32",
          "dims": ["3", "8"]}], "instance_group": [{"count": 2}],
          "dynamic_batching": {"preferred_batch_size": [4, 8], "max_queue_delay_microseconds": "500"}}
T4 = {"gpu": "Tesla T4", "driver": "535", "cpu": "some CPU", "triton": "2.51.0", "analyzer": "1.58.0",
      "date": "2026-01-02"}


def _runs(value: float) -> dict[str, Any]:
    return {"value": value, "runs": 3, "min": value - 0.125, "max": value + 0.25, "all": []}


def _record(settings: AnalyzeSettings, step: str, result: dict[str, Any], digest: str = "d") -> None:
    path = settings.folder / "raw" / f"{step}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"step": step, "key": "k", "digests": {"sleep-small": digest}, "machine": T4,
                                "result": result}))


@pytest.fixture
def measured(settings: AnalyzeSettings) -> AnalyzeSettings:
    """Results of a GPU: the model, memory and loads."""
    _record(settings, "model/sleep-small", {"config": CONFIG})
    _record(settings, "memory/sleep-small", {"gpu_bytes": [100 * MIB, 400 * MIB, 500 * MIB, 620 * MIB],
                                             "host_bytes": [50 * MIB, 150 * MIB, 180 * MIB, 210 * MIB]})
    _record(settings, "load/sleep-small/warm", {"load_s": _runs(1.5), "unload_s": _runs(1.0),
                                                "first_inference_s": _runs(0.5)})
    _record(settings, "load/sleep-small/cold", {"load_s": None, "method": "none", "resident": 1.0})
    _record(settings, "load/sleep-small/parallel-4", {"loads": 4, "load_s": _runs(3.0)})
    _record(settings, "interference/sleep-small+sleep-small", {"models": ["sleep-small", "sleep-small"],
                                                               "speed": [0.6, 0.65]})
    _record(settings, "artifact/sleep-small/files", {"disk_bytes": 1, "artifact_bytes": 1}, digest="other files")
    return replace(settings, models=("sleep-small",))


def test_what_was_measured_stands_in_the_profile_and_nothing_else(measured: AnalyzeSettings) -> None:
    row, = write_profiles(measured, {"sleep-small": "d"})
    assert row["not measured"] == ["grid", "work", "slowdown", "artifact"]
    profile = load_profile(measured.folder / "profiles" / "sleep-small.yaml")
    assert (profile.gpu, profile.instance_count, profile.preferred_batch_sizes) == ("T4", 2, (4, 8))
    assert (profile.gpu_bytes, profile.framework_base_bytes, profile.host_bytes) == (110 * MIB, 190 * MIB, 30 * MIB)
    assert (profile.load_time_s, profile.first_inference_s, profile.max_queue_delay_s) == (1.5, 0.5, 0.0005)
    assert (profile.gpu_share, profile.interference_k) == (pytest.approx(0.8), 0)
    assert (profile.artifact_bytes, profile.disk_bytes, profile.overhead_s) == (None, None, None)
    assert profile.file.load is not None and profile.file.load.time_cold_cache is None
    assert [one.loads for one in profile.file.load.parallel] == [4]
    assert profile.file.measured_on is not None and profile.file.measured_on.digest == "d"
    rows = {row["field"]: row for row in describe(profile)}
    assert rows["load.time"]["note"].startswith("median of 3 runs, 1.38 s to 1.75 s")
    assert rows["load.time, 4 at once"]["value"] == 3000
    assert rows["speed beside sleep-small"]["value"] == 0.625


TRUTH = Timing(launch_s=0.2e-3, copy_s=0.05e-3, gap_s=0.0, interference_k=0.0, frontend_s=0.1e-3, network_s=0.6e-3)
CURVE = BatchCurve([(1, 0.006), (2, 0.007), (4, 0.009), (8, 0.013)])
ON_CPU = {**CONFIG, "backend": "python", "instance_group": [{"count": 1}], "dynamic_batching": {}}


def _point(batch: int, concurrency: int, seen: Observed) -> OperatingPoint:
    return OperatingPoint(model="m", backend="python", gpu="cpu", scenario="online", instance_count=1, max_batch_size=8,
                          dynamic_batching=True, batch_size=batch, concurrency=concurrency,
                          throughput_per_s=seen.request_rps * batch, latency_s=seen.latency_s, queue_s=seen.queue_s,
                          compute_infer_s=seen.compute_s)


@pytest.fixture(scope="module")
def sweep() -> list[OperatingPoint]:
    """What Model Analyzer would write of a known server: each batch size alone, and two loads."""
    alone = [_point(b, 1, closed_loop(TRUTH, CURVE, Setting(b, 1, 8), 1, 200)) for b in (1, 2, 4, 8)]
    return alone + [_point(1, load, closed_loop(TRUTH, CURVE, Setting(1, 1, 8), load, 2000)) for load in (2, 3)]


def _work(small_s: float, large_s: float) -> dict[str, dict[str, Any]]:
    """Results of the step `work`: CPU seconds of a request of 1 and of 8 items, and their compute times."""
    batches = {str(size): {"cpu_s": cpu_s, "input_s": 0.0, "infer_s": float(CURVE.seconds([size])[0]), "output_s": 0.0}
               for size, cpu_s in ((1, small_s), (8, large_s))}
    return {"work/m": {"result": {"batches": batches}}}


def test_a_loaded_grid_is_fitted_and_no_time_counts_twice(sweep: list[OperatingPoint]) -> None:
    """3 ms CPU a request, of which 0.5 ms at most can lie outside a batch; the rest are vCPUs that the batch takes."""
    numbers = numbers_of(Results("m", _work(3e-3, 3e-3), sweep), ON_CPU, "cpu")
    parts = {"overhead": numbers["overhead"], "frontend": numbers["frontend"]["per_request"], **numbers["host_cpu"]}
    seconds = {name: parse_duration_s(number["value"]) for name, number in parts.items()}
    whole_s = sum(seconds.values()) + parse_duration_s(numbers["latency"]["batches"][0]["infer"])
    assert whole_s == pytest.approx(sweep[0].latency_s, rel=0.03)
    assert 0 < seconds["per_request"] < 1.2e-3
    assert numbers["cpu_cores"]["value"] == pytest.approx((3e-3 - seconds["per_request"]) / 0.01325, rel=0.1)
    assert not {"gap", "gpu_share", "interference_k"} & set(numbers)


def test_on_a_gpu_the_share_of_one_instance_is_what_two_copies_show(sweep: list[OperatingPoint]) -> None:
    pair = {"interference/m+m": {"result": {"models": ["m", "m"], "speed": [0.5, 0.5]}}}
    alone, beside = (numbers_of(Results("m", records, sweep), ON_CPU, "T4") for records in ({}, pair))
    assert beside["gpu_share"]["value"] == 1 and "gap" not in beside
    assert alone["gap"] and alone["host_cpu"] is None


def test_a_scenario_asks_for_what_is_lacking(measured: AnalyzeSettings, tmp_path: Path) -> None:
    write_profiles(measured, {"sleep-small": "d"})
    scenario = tmp_path / "my.yaml"
    scenario.write_text("endpoint: {instance_type: ml.g4dn.xlarge}\nmodels:\n"
                        "  - {profile: run/profiles/sleep-small.yaml, disk_bytes: 20MB}\n"
                        "workload: {arrivals: {use: poisson, rate_rps: 1}}\n")
    with pytest.raises(InputError) as raised:
        load_scenario(str(scenario))
    problems = {one.message.split(" has no ")[1].split(":")[0]: one for one in raised.value.problems}
    assert set(problems) == {"latency", "overhead", "host_cpu", "artifact_bytes"}
    assert problems["artifact_bytes"].path == "models.0.artifact_bytes"
    assert "--models sleep-small --only artifact" in problems["artifact_bytes"].hint
    assert all("profile sleep-small" in one.message for one in raised.value.problems)


def test_text_that_looks_like_a_number_stays_text() -> None:
    texts = {"a": "12e4567", "b": "2.51", "c": "true", "d": "plain", "e": "with: colon"}
    assert parse_document(profile_yaml("", texts), "x").data == texts
