"""`mmesim compare` as its users run it: other processes, killed and interrupted, policies of their own, JSON."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from compare_parts import tiny
from comparison_example import example
from program import PROGRAM, environment, mmesim

from mmesim.results.comparison_files import load, save

GPU = "endpoint.eviction.gpu"
LONG = ("--set", "duration=40m")


def begun(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """`mmesim ARGUMENTS` in a session of its own, as a terminal's foreground job is."""
    return subprocess.Popen([*PROGRAM, *arguments], cwd=cwd, text=True, env=environment(), start_new_session=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for_cells(folder: Path, n: int) -> None:
    """Until so many cells are stored."""
    until = time.monotonic() + 200
    while len(list(folder.glob("*.npz"))) < n:
        assert time.monotonic() < until, "no cell in time"
        time.sleep(0.02)


def numbers(folder: Path) -> dict[str, Any]:
    """The comparison in a folder without what differs from run to run."""
    document = json.loads((folder / "comparison.json").read_text())
    return {name: value for name, value in document.items() if name not in ("timing", "command", "name")}


def test_killed_in_the_middle_it_goes_on_where_it_was(tmp_path: Path) -> None:
    arguments = ("compare", tiny(tmp_path), "--vary", f"{GPU}=lru,lfu,mine.py:Mine", "--seeds", "4", *LONG,
                 "--no-report", "--processes", "1")
    cells = tmp_path / "reports" / "tiny-compare" / ".cells"
    process = begun(*arguments, cwd=tmp_path)
    wait_for_cells(cells, 3)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    stored = len(list(cells.glob("*.npz")))
    assert 3 <= stored < 12, "it was in the middle"
    done = mmesim(*arguments, cwd=tmp_path)
    assert done.returncode == 0 and "of 12 runs are stored already" in done.stderr, done.stderr
    assert int(done.stderr.split(" of 12 runs")[0].split()[-1]) >= 3
    whole = mmesim(*arguments, "--name", "whole", cwd=tmp_path)
    assert whole.returncode == 0 and "stored already" not in whole.stderr
    assert numbers(cells.parent) == numbers(tmp_path / "reports" / "whole")


def test_ctrl_c_keeps_and_shows_what_is_finished(tmp_path: Path) -> None:
    process = begun("compare", tiny(tmp_path), "--vary", f"{GPU}=lru,lfu", "--seeds", "600", *LONG, "--no-report",
                    "--processes", "2", cwd=tmp_path)
    wait_for_cells(tmp_path / "reports" / "tiny-compare" / ".cells", 8)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 130, err
    assert "Traceback" not in err and "stopped; what is finished is stored" in err, err
    assert "seeds:" not in err or "lru (baseline)" in out
    assert not (tmp_path / "reports" / "tiny-compare" / "comparison.json").exists()


def test_json_files_and_report(tmp_path: Path) -> None:
    done = mmesim("compare", tiny(tmp_path), "--vary", f"{GPU}=lru,lfu,mine.py:Mine", "--seeds", "2", "--json",
                  "--memory", "50%,100%", "--name", "mine", "--figures", "svg", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document, folder = json.loads(done.stdout), tmp_path / "reports" / "mine"
    assert document["variants"][0]["name"] == "lru"
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == [
        "cells.parquet", "comparison.json", "curve.parquet", "models.parquet", "report.html", "series.parquet",
        "sketches.npz"]
    assert document == json.loads((folder / "comparison.json").read_text())
    figures = sorted(path.name for path in (folder / "figures").iterdir())
    assert {"differences.svg", "latency-tail.svg", "memory-curve.svg"} <= set(figures)
    assert {Path(name).suffix for name in figures} == {".svg"}
    assert len(load(folder).curve) == 8 and document["command"].startswith("mmesim compare ")


def test_the_table_has_the_baseline_first_and_the_bound_last(tmp_path: Path) -> None:
    done = mmesim("compare", tiny(tmp_path), "--vary", f"{GPU}=lfu,lru", "--seeds", "2", "--no-report", cwd=tmp_path)
    lines = done.stdout.splitlines()
    rows = [line.split("  ")[0] for line in lines if line.lstrip().startswith(("lru", "lfu", "best possible"))]
    assert [row.split()[0] for row in rows[:3]] == ["lru", "lfu", "best"], done.stdout + done.stderr
    assert "(baseline)" in done.stdout and "95 % intervals" in done.stdout and "• lfu" in done.stdout


def test_a_policy_that_raises_in_a_worker_is_named(tmp_path: Path) -> None:
    done = mmesim("compare", tiny(tmp_path), "--vary", f"{GPU}=lru,mine.py:Raises", "--seeds", "2", cwd=tmp_path)
    assert done.returncode == 2 and "Raises.victims raised KeyError: 'oh' (variant 'Raises', seed " in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_options_are_told_before_anything_runs(tmp_path: Path) -> None:
    for wrong, told in ((("--rank-by", "p99"), "latency.all.p99"), (("--confidence", "95"), "between 0% and 100%"),
                        (("--memory", "big"), "fraction"), (("--figures", "png,gif"), "figure.gif is no kind"),
                        (("--baseline", "lof"), "'lfu'")):
        done = mmesim("compare", tiny(tmp_path), "--vary", f"{GPU}=lru,lfu", *wrong, cwd=tmp_path)
        assert done.returncode == 2 and told in done.stderr, done.stderr
    assert not (tmp_path / "reports").exists()


def test_report_draws_a_comparison_again(tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    folder.mkdir()
    save(example(3, models=8), folder)
    done = mmesim("report", "drawn", cwd=tmp_path)
    assert done.returncode == 0 and "drew drawn/report.html" in done.stderr, done.stderr
    assert "(baseline)" in done.stdout and "What can be said" in (folder / "report.html").read_text()
    whole = mmesim("report", "drawn", "--json", cwd=tmp_path)
    assert json.loads(whole.stdout) == json.loads((folder / "comparison.json").read_text())


def test_the_head_says_eight_things_and_folds_the_rest(tmp_path: Path) -> None:
    said = [f"Sentence {k}." for k in range(11)]
    comparison = replace(example(2, models=8), verdicts=said)
    save(comparison, tmp_path)
    lines = mmesim("report", ".", cwd=tmp_path).stdout.splitlines()
    assert [line for line in lines if line.startswith("•")] == [f"• {sentence}" for sentence in said[:8]]
    assert "  … and 3 more in report.html and with --json" in lines
    page = (tmp_path / "report.html").read_text()
    assert page.index("Sentence 7.") < page.index("<summary>3 more</summary>") < page.index("Sentence 8.")
