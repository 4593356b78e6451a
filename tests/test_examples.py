"""Every example does what it says: the packaged scenarios, the README's commands, files and policy."""

from __future__ import annotations

import gzip
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from program import ROOT, mmesim

from mmesim.results.run import Run
from mmesim.scenario.load import scenario_names

README = (ROOT / "README.md").read_text(encoding="utf-8")
TRACE = "azure_functions_2019_1350f_24h_counts.csv.gz"

HOUR = ("--set", "duration=1h", "--set", "warmup=10m")
SHORTER: dict[str, tuple[str, ...]] = {
    "diurnal-week": ("--set", "duration=7h30m", "--set", "warmup=1h"),
    "many-small": ("--set", "duration=15m", "--set", "warmup=10m"),
    "quickstart": HOUR, "thrash": ("--set", "duration=20m")}
"""Overrides that end a run within seconds and leave what it shows."""
POINTS = """\
model,framework_backend,gpu,scenario,batch_size,concurrency,throughput_inf_per_s,latency_avg_ms,instance_count
m,tensorrt,T4,offline,1,1,100,10,1
m,tensorrt,T4,offline,8,1,400,20,1
m,tensorrt,T4,online,1,1,90,11,1
m,tensorrt,T4,online,1,4,180,22,1
"""
"""Operating points, as somebody might have measured them."""
TO_READ = [name for name in scenario_names() if name != "azure-day"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs of this file go."""
    return tmp_path_factory.mktemp("examples")


def example(name: str, results: Path, *options: str) -> Run:
    """The run of a packaged scenario; repeated only when asked with other options."""
    title = name + re.sub(r"\W+", "-", " ".join(options))[-60:]
    folder = results / "reports" / title
    if not folder.exists():
        done = mmesim("run", name, *SHORTER.get(name, ()), *options, "--name", title, "--no-report", cwd=results)
        assert done.returncode == 0, done.stderr
    return Run.load(folder)


@pytest.mark.parametrize("name", TO_READ)
def test_every_packaged_scenario_runs_and_its_numbers_agree(name: str, results: Path) -> None:
    summary = example(name, results).summary
    requests, latency = summary["requests"], summary["latency"]["all"]
    assert summary["invariants"]["conservation"] == "holds"
    assert abs(summary["invariants"]["little_relative_error"]) < 1e-6
    assert summary["run"]["partial"] is False
    assert requests["invocations"] > 100
    assert 0 <= requests["error_rate"] <= 1 and 0 <= summary["cache"]["hit_ratio"] <= 1
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p99_9"] <= latency["max"]
    assert latency["count"] == requests["completions"]
    assert summary["cost"]["per_hour"] > 0


def hits(run: Run) -> float:
    return float(run.summary["cache"]["hit_ratio"])


def test_quickstart_misses_and_four_instances_do_not(results: Path) -> None:
    two, four = example("quickstart", results), example("quickstart", results, "--set", "endpoint.instances=4")
    lfu = example("quickstart", results, "--set", "endpoint.eviction.gpu=lfu")
    assert 0.70 < hits(two) < 0.80
    assert hits(four) > 0.999
    assert hits(lfu) > hits(two) + 0.02
    assert two.summary["latency"]["cold"]["mean"] > 10 * two.summary["latency"]["warm"]["mean"]
    assert four.summary["cost"]["per_hour"] == pytest.approx(2 * two.summary["cost"]["per_hour"], rel=1e-5)


def test_thrash_thrashes_and_room_cures_it(results: Path) -> None:
    run, cured = example("thrash", results), example("thrash", results, "--set", "models.0.count=44")
    assert run.summary["residency"]["thrash"]["reload_share"] > 0.9
    assert run.summary["use"]["loaded_models_per_instance"] == pytest.approx(46, abs=3)
    assert run.summary["latency"]["all"]["p99"] > 1000
    assert cured.summary["latency"]["all"]["p99"] < 500
    assert cured.summary["residency"]["loads"] == 0


def test_spike_scales_late_and_the_newcomer_is_cold(results: Path) -> None:
    run = example("spike", results)
    rows = run.metrics
    joined_s = rows.loc[rows["instances_serving"] > 1, "start_s"].min()
    assert 36 * 60 <= joined_s <= 41 * 60, "eight to nine minutes after the crowd"
    cold = rows[(rows["cold_from_s3"] > 0) & (rows["start_s"] > 10 * 60)]
    assert cold["start_s"].min() == joined_s, "until then every reload came from the disk"
    assert cold["cold_from_s3"].sum() > 50
    assert rows.loc[rows["failed"] > 0, "start_s"].between(30 * 60, 50 * 60).all()
    headroom = example("spike", results, "--set", "endpoint.instances=3")
    assert headroom.summary["requests"]["failed"] == 0
    assert example("spike", results, "--set", "endpoint.metrics.period=10s").summary["requests"]["failed"] \
        < 0.7 * run.summary["requests"]["failed"]


def test_many_small_is_warm(results: Path) -> None:
    summary = example("many-small", results).summary
    assert summary["cache"]["hit_ratio"] > 0.995
    assert summary["latency"]["all"]["p99"] < 500


def test_the_nights_of_the_week_are_cold(results: Path) -> None:
    rows = example("diurnal-week", results).metrics
    rows = rows[~rows["warmup"]]
    alone = rows["instances_serving"] == 1
    assert rows.loc[alone, "cold_from_disk"].sum() > 1000
    assert rows.loc[rows["instances_serving"] >= 2, "cold_from_disk"].tail(6).sum() < 10


def test_load_test_has_its_knee_where_it_was_measured(results: Path) -> None:
    rows = example("load-test", results).metrics.set_index("start_s")
    start_s = 20.0  # before the ramp the copies are loaded
    rate = rows["completions"] / 10
    assert rate[start_s + 50] < 60
    assert rate[start_s + 120:start_s + 320].between(105, 120).all(), "measured: 110 to 120 from 60 users on"
    late = rows.loc[start_s + 280:start_s + 310, "latency_mean_ms"].mean()
    assert late == pytest.approx(1303, rel=0.12), "measured between 284.9 s and 317.9 s"
    assert rows["cold_from_s3"].sum() == 0, "all copies were loaded"


def test_an_s3_outage_hurts_who_was_never_asked_for(results: Path) -> None:
    run = example("s3-outage", results)
    failed = run.metrics.loc[run.metrics["failed"] > 0, "start_s"]
    assert failed.between(20 * 60, 26 * 60).all() and len(failed) > 2
    assert run.summary["requests"]["error_rate"] < 0.01
    bare = example("s3-outage", results, "--set", "endpoint.server.keep_on_disk=false")
    assert bare.summary["requests"]["error_rate"] > 0.15


def test_sessions_make_hits(results: Path) -> None:
    run = example("genai-sessions", results)
    alone = example("genai-sessions", results, "--set", "workload.sessions.repeat=0")
    assert run.summary["requests"]["invocations"] == alone.summary["requests"]["invocations"]
    assert hits(run) > hits(alone) + 0.15
    assert run.summary["residency"]["loads"] < 0.6 * alone.summary["residency"]["loads"]


def test_cpu_endpoint_is_sized_by_memory(results: Path) -> None:
    run = example("cpu-endpoint", results)
    assert "GPUUtilization" not in run.instances
    assert run.summary["use"]["host_memory"]["mean"] > 75
    assert run.summary["use"]["cpu"]["mean"] < 10
    assert 0.95 < hits(run) < 0.99
    assert hits(example("cpu-endpoint", results, "--set", "endpoint.instance_type=ml.r5.2xlarge")) > 0.999


@pytest.mark.data
def test_a_real_day(shared_data: Path, results: Path) -> None:
    """Its first eight hours as they are."""
    run = example("azure-day", results, "--set", f"workload.trace={shared_data / 'traces' / TRACE}", "--set",
                  "duration=8h")
    assert run.summary["run"]["ended_s"] == pytest.approx(8 * 3600, abs=60)
    assert run.summary["requests"]["invocations"] > 250_000
    assert 0.65 < hits(run) < 0.85


# The README ---------------------------------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    """The README's code blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


BRIEF = ["--set", "duration=8m", "--set", "warmup=1m"]
SHORT = {"run": BRIEF, "plan": [*BRIEF, "--no-reasons"], "sweep": BRIEF,
         "compare": ["--set", "duration=4m", "--set", "warmup=1m", "--seeds", "3", "--no-report"]}
"""What makes a command of the README a short one."""
OF_A_WORLD = {"live serve": "--check", "live load": "--help", "live shadow": "--help", "live parity": "--help",
              "replay try/live-state/journal": "--help"}
"""Commands that need real servers or take minutes have tests of their own: here only that they are known."""


def commands() -> list[list[str]]:
    """The words of each `mmesim ...` of the README's consoles, in order."""
    lines = [line.partition("#")[0] for block in blocks("console") for line in block.splitlines()]
    return [shlex.split(part) for line in lines for part in line.removeprefix("$ ").split("&&")
            if part.split()[:1] == ["mmesim"]]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the README's files in it."""
    folder = tmp_path_factory.mktemp("desk")
    (scenario,), (policy,) = blocks("yaml"), blocks("python")
    (folder / "my.yaml").write_text(scenario)
    (folder / "my_policies.py").write_text(policy)
    (folder / "points.csv").write_text(POINTS)
    rng = np.random.default_rng(1)
    rows = list(zip(np.sort(rng.uniform(0, 7200, 2000)), rng.zipf(1.6, 2000), strict=True))
    for name, model in (("day", "m"), ("last-month", "bert-0")):
        text = "timestamp_s,model\n" + "".join(f"{at:.3f},{model}{min(rank, 30):02}\n" for at, rank in rows)
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
    return folder


def test_the_readme_has_commands() -> None:
    assert len(commands()) >= 8


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_of_the_readme(words: list[str], desk: Path) -> None:
    short = SHORT.get(words[1], []) if words[1:] != ["profile", "analyze", "models"] else ["--dry-run"]
    short = [OF_A_WORLD[" ".join(words[1:3])]] if " ".join(words[1:3]) in OF_A_WORLD else short
    done = mmesim(*words[1:], *short, cwd=desk)
    allowed = (0, 1) if "--check" in words else (0,)
    assert done.returncode in allowed, done.stderr


def test_the_readme_names_every_scenario_and_its_files_are_written(desk: Path) -> None:
    assert set(re.findall(r"^\| `([\w-]+)` \|", README, re.MULTILINE)) == set(scenario_names())
    done = mmesim("run", "my.yaml", "--set", "duration=5m", "--set", "warmup=1m", "--set", "output.requests=true",
                  "--json", cwd=desk)
    assert done.returncode == 0, done.stderr
    written = {path.name for path in (desk / "reports" / "my").iterdir()}
    told = set(re.findall(r"`([\w.]+\.(?:json|parquet|html|zst|jsonl\.zst))`", README))
    assert told <= written, told - written
    summary: dict[str, Any] = json.loads(done.stdout)
    assert summary["name"] == "my"
