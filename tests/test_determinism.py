"""The same scenario and seed give the same bytes, in another process, on any PYTHONHASHSEED; a policy never changes
the workload."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pandas as pd
import pytest
from program import EVERYTHING, begun, mmesim

VARIES = {"run_info.json"}
"""What may differ from run to run: when, where, how fast."""
REPORT = {"report.html"}


def run(folder: Path, *options: str) -> Path:
    """The result folder of a run of EVERYTHING."""
    folder.mkdir(exist_ok=True)
    (folder / "everything.yaml").write_text(EVERYTHING)
    done = mmesim("run", "everything.yaml", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "reports" / "everything"


def files(result: Path) -> dict[str, bytes]:
    """The files of a result that must not vary."""
    return {path.name: path.read_bytes() for path in sorted(result.iterdir()) if path.name not in VARIES}


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Results of two processes that hash differently, side by side."""
    folders = [tmp_path_factory.mktemp(f"hashseed{seed}") for seed in (1, 2)]
    for folder in folders:
        (folder / "everything.yaml").write_text(EVERYTHING)
    processes = [begun("run", "everything.yaml", cwd=folder, PYTHONHASHSEED=str(seed))
                 for seed, folder in enumerate(folders, 1)]
    for process in processes:
        assert process.wait(timeout=200) == 0, process.communicate()
    return folders[0] / "reports" / "everything", folders[1] / "reports" / "everything"


def test_the_scenario_has_everything_in_it(twice: tuple[Path, Path]) -> None:
    summary = json.loads((twice[0] / "summary.json").read_text())
    metrics = pd.read_parquet(twice[0] / "metrics.parquet")
    assert summary["requests"]["retries"] > 0
    assert summary["instances"]["joined"] > 0
    assert any("crash" in reason for reason in summary["instances"]["ended"]), summary["instances"]
    assert summary["residency"]["evictions"] > 0
    assert metrics["spill_wishes"].sum() > 0
    assert metrics["loads_failed"].sum() > 0
    assert metrics["downloads_failed"].sum() > 0


def test_same_bytes_in_two_processes(twice: tuple[Path, Path]) -> None:
    one, two = map(files, twice)
    assert set(one) == set(two)
    assert {"summary.json", "journal.jsonl.zst", "requests.parquet", "trace.json", "report.html"} <= set(one)
    assert [name for name in one if one[name] != two[name]] == []


def test_another_seed_gives_another_result(twice: tuple[Path, Path], tmp_path: Path) -> None:
    other = files(run(tmp_path, "--seed", "6"))
    one = files(twice[0])
    assert one["summary.json"] != other["summary.json"]
    assert one["requests.parquet"] != other["requests.parquet"]


def first_attempts(result: Path) -> pd.DataFrame:
    """When which model was asked for, retries left out, in order."""
    rows = pd.read_parquet(result / "requests.parquet").astype({"model": "string"})
    rows = rows[rows["attempt"] == rows["attempt"].min()]
    return rows[["issued_ns", "model"]].sort_values(["issued_ns", "model"], ignore_index=True)


@pytest.mark.parametrize("change", [
    "endpoint.eviction.gpu=lfu", "endpoint.routing={use: random, spill_outstanding: 0}", "faults=[]"])
def test_a_change_elsewhere_leaves_every_arrival_where_it_was(
    twice: tuple[Path, Path], tmp_path: Path, change: str,
) -> None:
    other = run(tmp_path, "--no-report", "--set", change)
    assert (other / "summary.json").read_bytes() != (twice[0] / "summary.json").read_bytes(), "the change had no effect"
    pd.testing.assert_frame_equal(*map(until_the_end, map(first_attempts, (twice[0], other))))


def until_the_end(rows: pd.DataFrame) -> pd.DataFrame:
    """Without the last two minutes: what is in flight at the end has no row."""
    return rows[rows["issued_ns"] < 10 * 60 * 10**9]


def test_an_interrupted_run_runs_again_to_the_same_bytes(twice: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "everything.yaml").write_text(EVERYTHING)
    process = begun("run", "everything.yaml", "--set", "duration=100d", "--set", "output.interval=1h", "--no-report",
                    cwd=tmp_path)
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert files(run(tmp_path)) == files(twice[0])
