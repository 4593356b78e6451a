"""A whole run: the summary against the requests one by one, the files, and the same bytes in every process."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_run import small_run

from mmesim.core.types import Failure
from mmesim.dataplane.counters import ENDPOINT_COUNTERS, Reason
from mmesim.errors import InputError
from mmesim.journal import open_journal
from mmesim.results import invariants, perfetto
from mmesim.results.lanes import Lanes
from mmesim.results.run import Run

WARMUP_NS, END_NS = 90_000_000_000, 540_000_000_000
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("small")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return small_run(folder)


@pytest.fixture(scope="module")
def requests(folder: Path, run: Run) -> pd.DataFrame:
    """Rows of requests that ended in the measured time; `ended_ns` without the caller's overhead."""
    rows = pd.read_parquet(folder / "out" / "requests.parquet")
    rows["ended_ns"] = rows["issued_ns"] + rows["latency_ns"] - rows["overhead_ns"]
    return rows[rows["ended_ns"] >= WARMUP_NS]


def answered(requests: pd.DataFrame, *tiers: str) -> pd.Series:
    rows = requests[requests["failure"] == "none"]
    return rows[rows["tier"].isin(tiers)]["latency_ns"] if tiers else rows["latency_ns"]


def test_the_scenario_does_what_these_tests_need(run: Run) -> None:
    assert run.summary["residency"]["evictions"] > 20 and run.summary["residency"]["reloads"] > 5
    assert run.summary["instances"]["ended"] == {"drained": 2, "instance crashed": 1}
    assert run.summary["cache"]["cold_starts"]["disk"] > 20 and run.summary["cache"]["cold_starts"]["s3"] > 5


def test_counts_agree_with_the_requests_one_by_one(run: Run, requests: pd.DataFrame) -> None:
    summary, kinds = run.summary["requests"], requests["failure"].value_counts()
    assert summary["completions"] == kinds["none"]
    assert summary["failed"] == len(requests) - kinds["none"]
    for failure in list(Failure)[1:]:
        name = failure.name.lower()
        assert summary["failures"].get(name, {"count": 0})["count"] == kinds.get(name, 0)
    assert run.summary["cache"]["hits"] == len(answered(requests, "gpu"))
    for tier in ("disk", "s3"):
        assert run.summary["cache"]["cold_starts"][tier] == len(answered(requests, tier))


@pytest.mark.parametrize(("kind", "tiers"), [
    ("all", ()), ("warm", ("gpu",)), ("cold", ("disk", "s3")), ("cold_disk", ("disk",)), ("cold_s3", ("s3",))])
def test_latency_agrees_with_the_requests_one_by_one(run: Run, requests: pd.DataFrame, kind: str,
                                                     tiers: tuple[str, ...]) -> None:
    exact, stated = answered(requests, *tiers) / 1e6, run.summary["latency"][kind]
    assert stated["count"] == len(exact)
    assert stated["mean"] == pytest.approx(exact.mean(), rel=1e-5)
    for name, fraction in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99_9", 0.999)):
        assert stated[name] == pytest.approx(np.quantile(exact, fraction, method="inverted_cdf"), rel=0.0079)
    assert stated["max"] == pytest.approx(exact.max(), rel=0.0079)


def test_time_spent_agrees_with_the_requests_one_by_one(run: Run, requests: pd.DataFrame) -> None:
    done = requests[requests["failure"] == "none"]
    for reason in Reason:
        name = reason.name.lower()
        assert run.summary["time"][name]["mean_ms"] == pytest.approx(done[f"{name}_ns"].mean() / 1e6, rel=1e-5)
    assert sum(part["share"] for part in run.summary["time"].values()) == pytest.approx(1, abs=1e-5)


def test_attainment_counts_failures(run: Run, requests: pd.DataFrame) -> None:
    target = run.summary["objective"]["targets"]["p99_ms"]
    within = ((requests["failure"] == "none") & (requests["latency_ns"] <= 5e9)).mean()
    assert target["attainment"] == pytest.approx(within, abs=0.002) and target["attainment"] <= within
    assert target["met"] == (target["value"] <= 5000) and run.objective_met == run.summary["objective"]["met"]


def test_rows_add_up_to_the_summary(run: Run) -> None:
    rows, summary = run.metrics[~run.metrics["warmup"]], run.summary
    assert rows["start_s"].iloc[0] == 90 and rows["end_s"].iloc[-1] == 540
    assert (run.metrics["end_s"].iloc[:-1].to_numpy() == run.metrics["start_s"].iloc[1:].to_numpy()).all()
    assert rows["Invocations"].sum() == summary["requests"]["invocations"] == run.models["Invocations"].sum()
    assert rows["completions"].sum() == summary["requests"]["completions"] == run.models["completions"].sum()
    assert rows["loads_from_disk"].sum() + rows["loads_from_s3"].sum() == summary["residency"]["loads"]
    assert run.models["loads"].sum() == summary["residency"]["loads"]
    assert run.models["evictions"].sum() == summary["residency"]["evictions"]
    assert run.models["copies_mean"].sum() == pytest.approx(summary["models"]["copies_mean"], rel=1e-5)
    assert (rows["ModelLatency"] + rows["OverheadLatency"]).to_numpy() == pytest.approx(1e3 * rows["latency_mean_ms"])
    length_h = (rows["end_s"] - rows["start_s"]) / 3600
    assert (rows["cost_per_hour"] * length_h).sum() == pytest.approx(summary["cost"]["total"], rel=1e-5)
    serving = (rows["instances_serving"] * length_h).sum() / length_h.sum()
    assert serving == pytest.approx(summary["instances"]["mean"], rel=1e-5)


def test_instances_cost_from_launch_to_end(run: Run) -> None:
    lives, price = run.details["fleet"], run.details["instance_type"]["price_per_hour"]
    ends_ns = [END_NS if life["ended_ns"] is None else life["ended_ns"] for life in lives]
    paid_ns = [end_ns - max(life["launched_ns"], WARMUP_NS) for life, end_ns in zip(lives, ends_ns, strict=True)]
    hours = sum(paid_ns) / 3.6e12
    cost = run.summary["cost"]
    assert cost["total"] == pytest.approx(hours * price, rel=1e-5)
    assert cost["per_hour"] == pytest.approx(hours * price / 0.125, rel=1e-5)
    assert cost["per_month"] == pytest.approx(730 * cost["per_hour"], rel=1e-5)
    assert cost["per_million_invocations"] == pytest.approx(
        1e6 * cost["total"] / run.summary["requests"]["invocations"], rel=1e-5)


def test_models_in_memory_fit_into_it(run: Run) -> None:
    usable = run.details["usable"]["gpu_bytes"]
    for _, stays in run.lanes.groupby("instance"):
        start, size, end = (stays[name].to_numpy() for name in ("load_ns", "gpu_bytes", "end_ns"))
        most = max(int(size[(start <= at) & (end > at)].sum()) for at in start)
        assert usable / 2 < most <= usable


def test_the_journal_tells_the_same_lanes(folder: Path, run: Run) -> None:
    lanes = Lanes()
    with open_journal(folder / "out" / "journal.jsonl.zst") as journal:
        names = np.array(journal.header["models"])
        for step in journal:
            lanes.step(step.now_ns, step.event, step.actions)
    table = lanes.finish(END_NS)
    table["model"] = names[table["model"]]
    pd.testing.assert_frame_equal(table, run.lanes.drop(columns="instance"), check_dtype=False)


def test_a_saved_run_comes_back(folder: Path, run: Run) -> None:
    back = Run.load(folder / "out")
    assert back.summary == run.summary and back.details["fleet"] == run.details["fleet"]
    for name in ("metrics", "instances", "models", "lanes"):
        pd.testing.assert_frame_equal(getattr(back, name), getattr(run, name), check_dtype=False)
    with pytest.raises(InputError, match=r"no summary\.json"):
        Run.load(folder)
    (folder / "half").mkdir()
    (folder / "half" / "summary.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be read"):
        Run.load(folder / "half")


# ---- invariants


def totals(**changes: Any) -> invariants.Totals:
    """Sums of a run of four answers of 1 s and one failure, with `changes` to single counters."""
    end = np.zeros((), ENDPOINT_COUNTERS)
    for name, value in {"invocations": 6, "completions": 4, "latency_ns": 4 * 10**9, "in_flight_ns": 5 * 10**9,
                        "failed_ns": 6 * 10**8}.items():
        end[name] = changes.pop(name, value)
    end["tiers"][0], end["failures"][Failure.TIMEOUT] = 4, 1
    end["reasons_ns"][Reason.COMPUTE] = end["tier_latency_ns"][0] = 4 * 10**9
    return replace(invariants.Totals(end, sketched=4, in_flight=1, in_flight_age_ns=4 * 10**8), **changes)


def test_a_run_that_adds_up_passes() -> None:
    invariants.check(totals())
    assert invariants.little_error(totals()) == 0


@pytest.mark.parametrize(("changes", "says"), [
    ({"invocations": 7}, "7 invocations, but 5 ended and 1 in flight"), ({"in_flight": 0}, "0 in flight"),
    ({"sketched": 3}, "3 in the latency sketches"), ({"completions": 3}, "5|4 ended"),
    ({"latency_ns": 5 * 10**9}, "does not add up"), ({"failed_ns": 0}, "Little's law"),
    ({"in_flight_ns": 5 * 10**9 + 1}, "Little's law"), ({"in_flight_age_ns": 0}, "Little's law")])
def test_a_run_that_does_not_add_up_is_our_bug(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        invariants.check(totals(**changes))


def test_the_small_run_keeps_littles_law(run: Run) -> None:
    assert run.summary["invariants"] == {"conservation": "holds", "little_relative_error": 0}


# ---- variants


def test_a_run_stopped_within_its_warmup_is_measured_whole(tmp_path: Path) -> None:
    presses = iter((signal.SIGINT,))

    def press(now_ns: int) -> None:
        for signum in presses:
            signal.raise_signal(signum)

    run = small_run(tmp_path, "warmup=8m", progress=press)
    assert run.partial and run.summary["run"]["measured_from_s"] == 0
    assert 0 < run.summary["run"]["ended_s"] < 480 and run.summary["requests"]["invocations"] > 100


def test_without_requests_nothing_is_divided_by_nothing(tmp_path: Path) -> None:
    run = small_run(tmp_path, "workload.arrivals.rate_rps=0.000001", "duration=2m", "warmup=0s")
    assert run.summary["requests"]["invocations"] == 0
    assert run.summary["cache"]["hit_ratio"] is None and run.summary["latency"]["all"]["p99"] is None
    assert run.summary["cost"]["per_million_invocations"] is None and not run.objective_met


def test_without_a_price_the_cost_says_so(tmp_path: Path) -> None:
    change = "instance_types={ml.mine.large: {vcpus: 8, ram_bytes: 32GiB, gpu: T4, gpu_bytes: 15GiB}}"
    cost = small_run(tmp_path, change, "endpoint.instance_type=ml.mine.large", "duration=2m").summary["cost"]
    assert cost["total"] is cost["per_month"] is None and "no price known for ml.mine.large" in cost["note"]


# ---- bytes


def files(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())
            if path.name != "run_info.json"}


def test_the_same_bytes_in_every_process(folder: Path, run: Run, tmp_path: Path) -> None:
    command = "import sys; from pathlib import Path; from small_run import small_run; small_run(Path(sys.argv[1]))"
    for hash_seed in ("1", "2"):
        (tmp_path / hash_seed).mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
        subprocess.run([sys.executable, "-c", command, str(tmp_path / hash_seed)], env=environment, check=True)
        assert files(tmp_path / hash_seed / "out") == files(folder / "out")
    assert set(files(folder / "out")) == {
        "summary.json", "details.json", "metrics.parquet", "instances.parquet", "models.parquet", "lanes.parquet",
        "requests.parquet", "journal.jsonl.zst", "trace.json"}


# ---- the timeline


@pytest.fixture(scope="module")
def trace(folder: Path, run: Run) -> dict[str, Any]:
    return json.loads((folder / "out" / "trace.json").read_text())


def test_bars_of_a_track_do_not_overlap(trace: dict[str, Any]) -> None:
    ends: dict[tuple[int, int], float] = {}
    bars = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    for bar in sorted(bars, key=lambda bar: bar["ts"]):
        key = (bar["pid"], bar["tid"])
        assert bar["ts"] >= ends.get(key, 0) - 1e-6 and bar["dur"] >= 0
        ends[key] = bar["ts"] + bar["dur"]
    assert max(ends.values()) <= END_NS / 1e3 + 1e-3
    assert {bar["cat"] for bar in bars} == {"instance", "download", "extract", "load", "unload"}


def test_evictions_carry_their_reason_and_tracks_a_name(trace: dict[str, Any], run: Run) -> None:
    events = trace["traceEvents"]
    marks = [event["name"] for event in events if event["ph"] == "i"]
    assert len(marks) == (run.lanes["unload_ns"] >= 0).sum() and all(": evicted for " in name for name in marks)
    named = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    assert {(event["pid"], event["tid"]) for event in events if event["ph"] == "X"} <= named
    processes = {event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert "endpoint" in processes and "instance 0 (zone 0)" in processes


def test_a_long_run_is_cut_and_says_so(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perfetto, "MAX_BARS", 10)
    perfetto.write_trace(run, tmp_path / "trace.json")
    cut = json.loads((tmp_path / "trace.json").read_text())
    assert sum(event["ph"] == "X" for event in cut["traceEvents"]) == 10 and cut["otherData"]["bars_left_out"] > 100
