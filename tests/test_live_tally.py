"""The tally against the simulator: from the records of a simulated run it must find the run's own numbers again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_run import small_build, small_run

from mmesim.core.types import Failure, Tier
from mmesim.dataplane.counters import REQUEST_RECORD, Reason, sketch_bucket
from mmesim.journal.read import open_journal
from mmesim.live.tally import Observed, Tally, buckets, results_of
from mmesim.results.run import Run
from mmesim.results.types import InstanceLife
from mmesim.results.unmeasured import Part

S = 1_000_000_000
CHANGES = ("models.0.available_until=8m30s", "models.1.available_until=8m30s", "workload.retries.attempts=3")


def records_of(folder: Path, names: list[str]) -> np.ndarray:
    """requests.parquet as records again."""
    table = pq.read_table(folder / "requests.parquet").to_pandas()
    rows = np.zeros(len(table), REQUEST_RECORD)
    codes = {"model": names, "tier": [tier.name.lower() for tier in Tier],
             "failure": [failure.name.lower() for failure in Failure]}
    for name in REQUEST_RECORD.names:
        if name in codes:
            number = {text: k for k, text in enumerate(codes[name])}
            rows[name] = [number.get(text, -1) for text in table[name]]
        elif name != "reasons_ns":
            rows[name] = table[name]
    for reason in Reason:
        rows["reasons_ns"][:, reason] = table[f"{reason.name.lower()}_ns"]
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated run with evictions, a crash, retries and scaling; its last requests end before it does."""
    folder = tmp_path_factory.mktemp("tally")
    small_run(folder, *CHANGES)
    return folder


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[Run, Run]:
    """(simulated, tallied from its records and its journal)."""
    simulated = Run.load(folder / "out")
    built = small_build(folder, *CHANGES)
    rows = records_of(folder / "out", [model.spec.name for model in built.models])
    assert simulated.summary["requests"]["in_flight_at_end"] == 0
    lives = [InstanceLife(**life) for life in simulated.details["fleet"]]
    with open_journal(folder / "out" / "journal.jsonl.zst") as journal:
        steps = list(journal)
    observed = Observed(built.duration_ns, steps=steps, fleet=lives, unknown=frozenset({Part.BATCHES}))
    return simulated, results_of(built, np.array_split(rows, 7), observed)


@pytest.mark.parametrize("section", ["run", "requests", "cache", "latency", "time", "instances", "cost", "objective",
                                     "invariants"])
def test_the_records_of_a_run_give_its_summary(both: tuple[Run, Run], section: str) -> None:
    simulated, tallied = (dict(run.summary[section]) for run in both)
    simulated.pop("batch_items_mean", None), tallied.pop("batch_items_mean", None)
    assert tallied == simulated


def test_the_journal_gives_loads_and_evictions(both: tuple[Run, Run]) -> None:
    simulated, tallied = (dict(run.summary["residency"]) for run in both)
    assert simulated.pop("download_bytes") > 0 == tallied.pop("download_bytes")
    assert tallied == simulated and tallied["evictions"] > 10


def test_rows_over_time_agree_one_by_one(both: tuple[Run, Run]) -> None:
    simulated, tallied = (run.metrics for run in both)
    for name in ("start_s", "end_s", "Invocations", "retries", "completions", "failed", "instance_lost", "concurrency",
                 "latency_p50_ms", "latency_p99_ms", "cold_p99_ms", "ModelCacheHit", "cold_from_s3", "ModelLatency"):
        np.testing.assert_array_equal(tallied[name], simulated[name], name)


def test_models_agree_one_by_one(both: tuple[Run, Run]) -> None:
    simulated, tallied = (run.models for run in both)
    for name in ("model", "Invocations", "completions", "failed", "latency_p99_ms", "loads", "evictions",
                 "copies_mean"):
        np.testing.assert_array_equal(tallied[name], simulated[name], name)


def a_record(issued_ns: int, latency_ns: int, **values: int) -> np.ndarray:
    row = np.zeros(1, REQUEST_RECORD)
    for name, value in {"attempt": 1, "issued_ns": issued_ns, "latency_ns": latency_ns, **values}.items():
        row[name] = value
    row["reasons_ns"][:, Reason.COMPUTE] = latency_ns if not values.get("failure") else 0
    return row


def test_what_ends_after_the_end_is_in_flight() -> None:
    tally = Tally(np.array([0, 10, 20]) * S, 1, 0)
    tally.add(np.concatenate([a_record(1 * S, 2 * S), a_record(5 * S, 10 * S), a_record(15 * S, 5 * S)]))
    tally.add_waiting(a_record(18 * S, 0))
    first, second = tally.counters()
    assert (tally.in_flight, tally.in_flight_age_ns) == (2, 7 * S)
    assert [int(c.endpoint["invocations"]) for c in (first, second)] == [2, 2]
    assert [int(c.endpoint["completions"]) for c in (first, second)] == [1, 1]
    # 1..3 and 5..10 in the first interval; 10..15, 15..20 and 18..20 in the second
    assert [int(c.endpoint["in_flight_ns"]) for c in (first, second)] == [7 * S, 12 * S]


def test_what_was_not_measured_is_absent(folder: Path) -> None:
    built = replace(small_build(folder), warmup_ns=0)
    rows = np.concatenate([a_record(k * S, 5_000_000, tier=-1, instance=-1) for k in range(50)])
    unknown = frozenset({Part.CACHE, Part.TIME, Part.RESIDENCY, Part.USE, Part.INSTANCES, Part.BATCHES})
    run = results_of(built, [rows], Observed(60 * S, unknown=unknown))
    assert run.summary["cache"]["hit_ratio"] is None and run.summary["cache"]["hits"] is None
    assert run.summary["use"] == {"unit": "%"} and run.summary["cost"]["per_hour"] is None
    assert run.summary["residency"]["loads"] is None and run.summary["latency"]["warm"]["p50"] is None
    assert run.summary["latency"]["all"]["count"] == 50 == run.summary["requests"]["completions"]
    assert run.metrics[["ModelCacheHit", "loads_from_s3", "instances_serving"]].isna().all(axis=None)
    assert run.summary["live"]["not_measured"] == ["cache", "time", "residency", "use", "instances", "batches"]


@given(st.lists(st.integers(0, 5_000_000_000_000), min_size=1, max_size=50))
def test_buckets_are_the_data_planes(latencies_ns: list[int]) -> None:
    assert buckets(np.array(latencies_ns)).tolist() == [sketch_bucket(value) for value in latencies_ns]
