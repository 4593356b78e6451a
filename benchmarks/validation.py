"""Judges fits and load-test calibration on measurements, and writes the tables and figures of docs/validation.md.

    python -m benchmarks.validation DATA [--docs docs]

DATA holds `triton_published/measurements.csv` and `sagemaker_mme_gpu/` (measurements by others, not part of the
program). Tables are put between the markers of docs/validation.md, figures into docs/validation/. Takes some minutes.

Groups of the published points are of two kinds, by the SHA-256 of their name: *development* groups were looked at while
the model of a server was made and its priors chosen, *held out* ones were not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.page import filled, table
from benchmarks.road import JUDGED, Simulated, simulated
from mmesim.calibrate.loadtest.figure import draw as draw_load_test
from mmesim.calibrate.loadtest.predict import Result, Settings, load_test
from mmesim.calibrate.loadtest.tables import read_measurements as read_load_tests
from mmesim.calibrate.serving.groups import Group, groups
from mmesim.calibrate.serving.scaling import curves_of_points, scaling_table
from mmesim.calibrate.serving.validate import FIGURES, REGIMES, Judged, Row, by_regime, judge, summary
from mmesim.packaged import packaged_dir
from mmesim.parallel import side_by_side
from mmesim.profile import profile_path
from mmesim.profile.points import OperatingPoint
from mmesim.profile.readers import read_measurements

SHOWN = ("rps", "mean_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms")
AIMS = {"throughput": 0.05, "latency": 0.08}


def is_held_out(group: Group) -> bool:
    """Whether the group was kept from those who made the model."""
    name = "/".join((group.model, group.backend, group.precision, group.gpu))
    return int(sha256(name.encode()).hexdigest(), 16) % 2 == 0


def main(arguments: Sequence[str]) -> None:
    """Judge one part or all, and write each into the page as soon as it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", choices=[part.__name__ for part in PARTS])
    parser.add_argument("--docs", type=Path, default=Path(__file__).parent.parent / "docs")
    given = parser.parse_args(arguments)
    figures = given.docs / "validation"
    figures.mkdir(parents=True, exist_ok=True)
    page = given.docs / "validation.md"
    for part, folder in PARTS.items():
        if given.only in (None, part.__name__):
            tables = part(given.data / folder, figures)
            page.write_text(filled(page.read_text(encoding="utf-8"), tables), encoding="utf-8")


# ---- published operating points


def published(file: Path, figures: Path) -> dict[str, str]:
    """Tables of all groups, and a figure by regime."""
    started = time.monotonic()
    judged = side_by_side(judge, groups(read_measurements(file)))
    print(f"published points: {len(judged)} groups in {time.monotonic() - started:.0f} s", file=sys.stderr)
    held = [one for one in judged if is_held_out(one.group)]
    rows = {"all": _rows(judged), "held out": _rows(held),
            "development": _rows(one for one in judged if one not in held)}
    _scatter(_rows(judged), {one.group.name for one in held}, figures / "published.png")
    return {"published overall": _overall(rows, judged, held), "published regimes": _regimes(rows["all"]),
            "published groups": _groups(judged)}


def sweeps(file: Path, _: Path) -> dict[str, str]:
    """Model Analyzer sweeps without offline rows: fitted to the lowest 40 % of each configuration's loads."""
    points = [p for p in read_measurements(file) if p.scenario == "model analyzer sweep" and p.precision]
    judged = side_by_side(judge, groups(points, fit_fraction=0.4))
    rows = _rows(judged)
    lines = [("rows", "configurations", "rows", *(f"{name}: median \\| p90" for name in FIGURES))]
    for name, some in (("all", rows), ("that pass Little's law", [row for row in rows if row.point.is_sound])):
        lines.append((name, len(judged), len(some), *_errors(summary(some))))
    return {"sweeps": table(lines)}


def _rows(judged: Iterable[Judged]) -> list[Row]:
    return [row for one in judged for row in one.rows]


def _overall(rows: dict[str, list[Row]], judged: list[Judged], held: list[Judged]) -> str:
    counts = {"all": len(judged), "held out": len(held), "development": len(judged) - len(held)}
    lines = [("groups", "number of groups", "rows", *(f"{name}: median \\| p90" for name in FIGURES))]
    lines += [(name, counts[name], len(some), *_errors(summary(some))) for name, some in rows.items()]
    sound = [row for row in rows["all"] if row.point.grade == "A"]
    lines.append(("all, rows of grade A", len(judged), len(sound), *_errors(summary(sound))))
    return table(lines)


def _regimes(rows: list[Row]) -> str:
    lines = [("regime", "rows", *(f"{name}: median \\| p90" for name in FIGURES))]
    return table([*lines, *((name, found["rows"], *_errors(found)) for name, found in by_regime(rows).items())])


def _groups(judged: list[Judged]) -> str:
    lines = [("group", "", "rows", *(f"{name}: median \\| p90" for name in FIGURES), "threads", "ahead")]
    for one in sorted(judged, key=lambda one: one.group.name):
        timing = one.fit.timing
        lines.append((one.group.name, "held out" if is_held_out(one.group) else "", len(one.rows),
                      *_errors(summary(one.rows)), timing.frontend_threads, timing.prefetched_batches))
    return table(lines)


def _errors(found: dict[str, Any]) -> list[str]:
    return [f"{100 * of['median']:.1f} % \\| {100 * of['p90']:.1f} %" if (of := found[name]) else "–"
            for name in FIGURES]


def _scatter(rows: list[Row], held: set[str], path: Path) -> None:
    """Predicted over measured mean latency against concurrency, one panel a regime."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(REGIMES), figsize=(11, 4), sharex=True, sharey=True)
    for panel, name in zip(panels, REGIMES, strict=True):
        here = [row for row in rows if row.regime == name]
        for mine, label, colour in ((False, "development", "#9aa5b1"), (True, "held out", "#c2410c")):
            some = [row for row in here if (row.group in held) == mine]
            panel.plot([row.point.concurrency for row in some], [1 + (row.error("latency") or 0) for row in some], ".",
                       color=colour, alpha=0.7, markersize=5, label=label)
        panel.axhline(1, color="black", linewidth=0.8)
        panel.axhspan(1 - AIMS["latency"], 1 + AIMS["latency"], color="#16a34a", alpha=0.12)
        panel.set(xscale="log", yscale="log", ylim=(0.4, 2.6), xlabel="requests in flight",
                  title=f"{name} the knee: {len(here)} rows")
        panel.set_xticks([2, 4, 8, 16, 32, 64, 128, 256], ["2", "4", "8", "16", "32", "64", "128", "256"])
        panel.set_yticks([0.5, 0.7, 1, 1.4, 2], ["0.5", "0.7", "1", "1.4", "2"])
        panel.minorticks_off()
    panels[0].set_ylabel("mean latency, predicted / measured")
    panels[-1].legend(loc="upper right", frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


# ---- a real multi-model endpoint


def load_tests(folder: Path, figures: Path) -> dict[str, str]:
    """One table for all models and one with every poll."""
    results = load_test(read_load_tests(folder), Settings())
    draw_load_test(results, figures / "load-test.svg")
    return {"load test summary": _load_test_summary(results), "load test polls": _load_test_polls(results)}


def _load_test_summary(results: Sequence[Result]) -> str:
    lines = [("model", "polls judged", *(f"{name}: worst \\| median" for name in SHOWN), "copies that fit: predicted "
              "\\| measured")]
    for result in results:
        memory, judged = result.memory, [row for row in result.polls if not row.used]
        lines.append((result.measured.model, len(judged), *(_worst(result.errors(name)) for name in SHOWN),
                      f"{memory.copies} \\| {result.measured.copies}"))
    return table(lines)


def _worst(errors: Sequence[float]) -> str:
    worst = max(errors, key=abs)
    return f"{100 * worst:+.1f} % \\| {100 * float(np.median(np.abs(errors))):.1f} %"


def _load_test_polls(results: Sequence[Result]) -> str:
    lines = [("model", "poll", "users", *(f"{name}: predicted \\| measured" for name in SHOWN))]
    for result in results:
        for row in result.polls:
            beside = (f"{row.predicted[name]:.0f} \\| {row.measured[name]:.0f}" for name in SHOWN)
            lines.append((result.measured.model, f"{row.poll.number}{' *' if row.used else ''}", row.users, *beside))
    return table(lines)


# ---- from one GPU to another


def gpu_to_gpu(file: Path, _: Path) -> dict[str, str]:
    """The scaling rule from a T4, and the spread of its errors over every pair of GPUs."""
    rows = scaling_table(curves_of_points(read_measurements(file)))
    lines: list[tuple[Any, ...]] = [("from", "to", "backend", "precision", "time ratio, short to long batches",
                                     "models", "points", "error left out: median \\| p90")]
    lines += [(row["from"], row["to"], row["backend"], row["precision"],
               f"{row['ratio_short']:.2f} to {row['ratio_long']:.2f}", row["models"], row["points"],
               f"{100 * row['median_error']:.0f} % \\| {100 * row['p90_error']:.0f} %")
              for row in rows if row["from"] == "T4"]
    medians = np.array([row["median_error"] for row in rows])
    told = (f"All {len(rows)} rules (pair of GPUs, backend, precision): median error {100 * np.median(medians):.0f} % "
            f"in the middle, {100 * np.quantile(medians, 0.9):.0f} % at the 90th percentile.")
    return {"scaling": f"{table(lines)}\n\n{told}"}


# ---- models measured on a CPU


def cpu_road(file: Path, _: Path) -> dict[str, str]:
    """Shipped profiles measured on a CPU, in runs of the whole simulator, beside Perf Analyzer's at unseen loads."""
    judged = [point for point in read_measurements(file) if point.source.startswith(JUDGED)]
    seen = [simulated(profile_path(f"{point.model}-python-cpu"), point.concurrency or 1, items=point.batch_size,
                      instances=point.instance_count or 1) for point in judged]
    return {"cpu summary": _cpu_summary(judged, seen), "cpu loads": _cpu_loads(judged, seen)}


def _cpu_summary(judged: Sequence[OperatingPoint], seen: Sequence[Simulated]) -> str:
    errors: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for point, one in zip(judged, seen, strict=True):
        errors.setdefault((point.model, point.instance_count or 1), []).append(_cpu_errors(point, one))
    lines: list[tuple[Any, ...]] = [("model", "instances", "cases", "throughput: median \\| worst",
                                     "mean latency: median \\| worst")]
    for (model, instances), pairs in errors.items():
        shown = (f"{100 * float(np.median(np.abs(column))):.1f} % \\| {100 * max(column, key=abs):+.1f} %"
                 for column in zip(*pairs, strict=True))
        lines.append((model, instances, len(pairs), *shown))
    return table(lines)


def _cpu_errors(point: OperatingPoint, one: Simulated) -> tuple[float, float]:
    """Predicted over measured, less 1: throughput, mean latency."""
    assert point.throughput_per_s and point.latency_s
    return one.request_rps * point.batch_size / point.throughput_per_s - 1, one.latency_s / point.latency_s - 1


def _cpu_loads(judged: Sequence[OperatingPoint], seen: Sequence[Simulated]) -> str:
    """A row for each load."""
    lines: list[tuple[Any, ...]] = [("model", "instances", "items a request", "in flight",
                                     "inferences/s: predicted \\| measured", "mean ms: predicted \\| measured")]
    for point, one in zip(judged, seen, strict=True):
        lines.append((point.model, point.instance_count, point.batch_size, point.concurrency,
                      f"{one.request_rps * point.batch_size:.0f} \\| {point.throughput_per_s:.0f}",
                      f"{one.latency_s * 1e3:.1f} \\| {(point.latency_s or 0) * 1e3:.1f}"))
    return table(lines)


_POINTS = "triton_published/measurements.csv"
PARTS = {published: _POINTS, sweeps: _POINTS, gpu_to_gpu: _POINTS, load_tests: "sagemaker_mme_gpu",
         cpu_road: packaged_dir("profiles") / "measured" / "cpu.csv"}


if __name__ == "__main__":
    main(sys.argv[1:])
