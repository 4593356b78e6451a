"""`mmesim sweep` as its users run it: tables, resumption, wrong points, a design before it runs, figures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from compare_parts import tiny
from program import PROGRAM, environment, mmesim

from mmesim.errors import InputError
from mmesim.planner.runs.shipping import packed, unpacked
from mmesim.report.sweep_figure import draw_sweep
from mmesim.results.comparison_interval import interval
from mmesim.results.sweep import Sweep, SweepAxis
from mmesim.scenario.load import load_scenario

GPU, RATE, INSTANCES = "endpoint.eviction.gpu", "workload.arrivals.rate_rps", "endpoint.instances"
P99 = "latency.all.p99"


def swept(folder: Path, *more: str, name: str = "s") -> pd.DataFrame:
    """The runs of a sweep."""
    done = mmesim("sweep", tiny(folder), "--name", name, "--quiet", *more, cwd=folder)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return pd.read_parquet(folder / "reports" / name / "points.parquet")


def test_a_row_a_run_and_a_row_a_point(tmp_path: Path) -> None:
    runs = swept(tmp_path, "--vary", f"{INSTANCES}=1..2", "--vary", f"{GPU}=lru,mine.py:Mine", "--seeds", "3", "--set",
                 "objective.p99_ms=1000")
    folder = tmp_path / "reports" / "s"
    summary, document = pd.read_parquet(folder / "summary.parquet"), json.loads((folder / "sweep.json").read_text())
    assert len(runs) == 12 and len(summary) == 4 and len(list((folder / ".cells").iterdir())) == 12
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == [
        "points.parquet", "summary.parquet", "sweep.json", "sweep.png", "sweep.svg"]
    assert runs[INSTANCES].tolist() == [1] * 6 + [2] * 6 and runs["seed"].tolist() == [3, 4, 5] * 4
    assert str(pq.read_schema(folder / "points.parquet").field(INSTANCES).type) == "int64"
    own = runs[runs[GPU] == "mine.py:Mine"].reset_index()[P99]
    pd.testing.assert_series_equal(own, runs[runs[GPU] == "lru"].reset_index()[P99])
    expected = interval(runs[runs["point"] == 1][P99].tolist(), 0.95)
    found = summary.loc[1, [P99, f"{P99}.low", f"{P99}.high"]].tolist()
    assert expected and found == pytest.approx([expected.mean, expected.low, expected.high])
    assert summary["met_objective"].tolist() == [False, False, True, True]
    assert sorted(summary["rank"][summary["met_objective"]]) == [1, 2], "what meets the objective comes first"
    assert document["axes"][0] == {"path": INSTANCES, "unit": "", "values": 2} and document["seeds"] == [3, 4, 5]
    assert document["timing"]["runs"] == 12 and document["command"].startswith("mmesim sweep ")
    assert {"latency.warm.p99", "cost.per_hour", "cache.hit_ratio", "wall_s", "digest"} <= set(runs.columns)


def test_the_numbers_are_those_of_a_run(tmp_path: Path) -> None:
    runs = swept(tmp_path, "--vary", f"{RATE}=6")
    mmesim("run", tiny(tmp_path), "--set", f"{RATE}=6", "--name", "one", "--quiet", cwd=tmp_path)
    summary = json.loads((tmp_path / "reports" / "one" / "summary.json").read_text())
    assert runs["cache.hit_ratio"].tolist() == pytest.approx([summary["cache"]["hit_ratio"]], rel=1e-5)
    assert runs["invocations"].tolist() == [summary["requests"]["invocations"]]


def test_stored_runs_are_not_made_again(tmp_path: Path) -> None:
    first = swept(tmp_path, "--vary", f"{RATE}=4..5")
    asked = ("sweep", tiny(tmp_path), "--name", "s", "--vary", f"{RATE}=4..6", "--json")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "reports" / "s" / ".cells").iterdir()}
    done = mmesim(*asked, cwd=tmp_path)
    assert "2 of 3 runs are stored already" in done.stderr and done.returncode == 0, done.stderr
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in before.items())
    document = json.loads(done.stdout)
    assert document["timing"]["stored_before"] == 2 and [row[RATE] for row in document["summary"]] != []
    again = pd.read_parquet(tmp_path / "reports" / "s" / "points.parquet")
    pd.testing.assert_frame_equal(again[:2], first, check_exact=True)


def test_wrong_points_are_told_together_and_nothing_runs(tmp_path: Path) -> None:
    asked = ("sweep", tiny(tmp_path), "--vary", f"{INSTANCES}=0..1", "--vary", f"{GPU}=lru,lof")
    done = mmesim(*asked, cwd=tmp_path)
    assert done.returncode == 2 and f"problem in point {INSTANCES}=0" in done.stderr, done.stderr
    assert "(2 points: 0, 1)" in done.stderr and "'lof' (2 points: 1, 3)" in done.stderr, done.stderr
    assert not (tmp_path / "reports").exists()
    done = mmesim(*asked, "--skip-invalid", cwd=tmp_path)
    assert done.returncode == 0 and "3 points could not run" in done.stdout, done.stdout + done.stderr
    for name in ("points", "summary"):
        table = pd.read_parquet(tmp_path / "reports" / "tiny-sweep" / f"{name}.parquet")
        assert table["error"].isna().tolist() == [False, False, True, False], "a row a point"
        assert "0 is out of range" in table["error"][0] and table[P99].notna().tolist() == [False, False, True, False]


def test_a_design_is_shown_before_it_runs(tmp_path: Path) -> None:
    asked = ("sweep", tiny(tmp_path), "--random", "5", "--range", f"{RATE}=4..8", "--choice", f"{GPU}=lru,lof")
    done = mmesim(*asked, "--dry-run", cwd=tmp_path)
    assert done.returncode == 0 and "points of 1 seed; 0 runs stored" in done.stdout and "lof" in done.stdout
    points = json.loads(mmesim(*asked, "--dry-run", "--json", cwd=tmp_path).stdout)["points"]
    assert len(points) == 5 and sum(bool(point["error"]) for point in points) in (2, 3)
    assert not (tmp_path / "reports").exists()


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "sweep", tiny(tmp_path), "--vary", f"{RATE}=4..400", "--set", "checks.intended_overload=true"],
        cwd=tmp_path, text=True, env=environment(), start_new_session=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    cells = tmp_path / "reports" / "tiny-sweep" / ".cells"
    until = time.monotonic() + 200
    while len(list(cells.glob("*.npz"))) < 3:
        assert time.monotonic() < until and process.poll() is None, "no cell in time"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 130 and "runs are stored: the same command goes on" in err, err
    assert "Traceback" not in err and not (cells.parent / "sweep.json").exists()


def test_wrong_options_are_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "reports" / "full").mkdir(parents=True)
    (tmp_path / "reports" / "full" / "thesis.txt").touch()
    for wrong, told in ((("--metric", "p99"), "there is no metric"), (("--rank-by", "p99"), "cannot be ranked"),
                        (("--cluster", "dask"), "is no address"), (("--confidence", "2"), "between 0% and 100%"),
                        (("--name", "full"), "not a sweep of mmesim"), (("--design", "grid"), "no design 'grid'")):
        done = mmesim("sweep", tiny(tmp_path), "--vary", f"{RATE}=4,5", *wrong, cwd=tmp_path)
        assert done.returncode == 2 and told in done.stderr, done.stderr


# ---- what travels


def test_files_travel_by_their_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "aside.csv").write_text("timestamp_s,model\n1,a\n")
    tiny(home)
    scenario = load_scenario(str(home / "tiny.yaml"), [
        "workload={trace: ../aside.csv}", f"{GPU}={{use: min_residency, around: {{use: 'mine.py:Mine'}}}}"])
    (parcel,), content = packed([scenario])
    with unpacked(parcel, content) as there:
        assert there.base_dir != home and not there.workload.trace.startswith("..")
        assert (there.base_dir / there.workload.trace).read_text() == "timestamp_s,model\n1,a\n"
        assert (there.base_dir / there.endpoint.eviction.gpu.params["around"]["use"].partition(":")[0]).is_file()
        assert there.models == scenario.models and there.name == scenario.name
    monkeypatch.setattr("mmesim.planner.runs.shipping.program", lambda: "9.9 0123456789")
    refused = pytest.raises(InputError, match=r"a worker has mmesim 9.9 \(sources 01234567\), here is")
    with refused, unpacked(parcel, content):
        pass


# ---- the figure


@pytest.mark.parametrize(("axes", "says"), [
    (("a",), "a"), (("word",), "lru"), (("a", "b"), "b"), (("a", "b", "word"), "meets the objective"),
    (("a", "hole"), "hole")])
def test_a_figure_for_every_number_of_settings(axes: tuple[str, ...], says: str, tmp_path: Path) -> None:
    table = pd.DataFrame([{"point": n, "a": a, "b": 0.5 * b, "word": word, "hole": None if b else a, "rank": n + 1,
                           "error": None, "seeds": 3, "met_objective": n % 2 == 0, P99: 10.0 ** (a + b),
                           f"{P99}.low": 0.5, f"{P99}.high": 1e4}
                          for n, (a, b, word) in enumerate((a, b, word) for a in range(3) for b in range(2)
                                                           for word in ("lru", "lfu"))])
    table = table.drop_duplicates(list(axes)).astype({"a": "Int64", "hole": "Int64", "word": "string",
                                                      "met_objective": "boolean"})
    found = [SweepAxis(name, "", table[name].nunique()) for name in axes]
    sweep = Sweep("drawn", "", {}, found, [1, 2, 3], 0.95, P99, table, table)
    draw_sweep(sweep, tmp_path / "sweep.svg")
    text = (tmp_path / "sweep.svg").read_text()
    assert "drawn: p99 latency, mean of 3 seeds" in text and says in text
    draw_sweep(sweep, tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == text
