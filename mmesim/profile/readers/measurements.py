"""Reads tables of published operating points: one row a point, named columns, ms, 10^6 bytes, percent.

This is also the form in which `mmesim profile import` writes what it has read from other tools. Columns are found by
name; only `model` and `throughput_inf_per_s` must be there; an empty cell is a figure that was not published.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmesim.errors import InputError, Problem
from mmesim.profile.points import OperatingPoint

REQUIRED = ("model", "throughput_inf_per_s")
MS = 1e-3
FIGURES: dict[str, tuple[str, float]] = {
    "request_rate_per_s": ("request_rate_rps", 1.0), "throughput_inf_per_s": ("throughput_per_s", 1.0),
    "latency_avg_ms": ("latency_s", MS), "p50_ms": ("p50_s", MS), "p90_ms": ("p90_s", MS), "p95_ms": ("p95_s", MS),
    "p99_ms": ("p99_s", MS), "server_queue_ms": ("queue_s", MS), "compute_input_ms": ("compute_input_s", MS),
    "compute_infer_ms": ("compute_infer_s", MS), "compute_output_ms": ("compute_output_s", MS),
    "client_send_recv_ms": ("send_recv_s", MS), "network_ms": ("network_s", MS),
    "gpu_util_pct": ("gpu_utilization", 0.01),
}
"""Column -> (field, what one unit of the column is)."""
COUNTS = ("instance_count", "max_batch_size", "batch_size", "concurrency")
TEXTS = {"model": "model", "framework_backend": "backend", "precision": "precision", "gpu": "gpu",
         "input_spec": "input", "scenario": "scenario", "grade": "grade", "note": "note"}


@dataclass(frozen=True)
class _Cell:
    path: Path
    line: int
    column: str
    text: str

    def number(self) -> float | None:
        """The figure, None for an empty cell. Raises InputError for anything else."""
        if not self.text:
            return None
        try:
            value = float(self.text)
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise InputError(Problem(f"{self.column} is {self.text!r}", file=str(self.path), line=self.line,
                                     hint="write a number that is not negative, or leave the cell empty"))
        return value


def read_measurements(path: Path) -> list[OperatingPoint]:
    """All points of the table at `path`. Raises InputError with file, line and value."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in REQUIRED if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(Problem(f"no column {', '.join(missing)}", file=str(path), line=1,
                                     hint=f"it has: {', '.join(reader.fieldnames or ()) or 'nothing'}"))
        return list(_points(path, reader))


def _points(path: Path, reader: csv.DictReader[str]) -> Iterator[OperatingPoint]:
    for row in reader:
        cells = {name: _Cell(path, reader.line_num, name, (text or "").strip())
                 for name, text in row.items() if name is not None}

        def text(name: str, cells: dict[str, _Cell] = cells) -> str:
            return cells[name].text if name in cells else ""

        counts = {name: int(value) for name in COUNTS
                  if name in cells and (value := cells[name].number()) is not None}
        figures = {field: value * unit for name, (field, unit) in FIGURES.items()
                   if name in cells and (value := cells[name].number()) is not None}
        memory_mb = cells["gpu_mem_mb"].number() if "gpu_mem_mb" in cells else None
        dynamic = text("dynamic_batching").lower()
        yield OperatingPoint(
            **{field: text(name) for name, field in TEXTS.items()},          # type: ignore[arg-type]
            **counts, **figures,                                            # type: ignore[arg-type]
            dynamic_batching=None if not dynamic else dynamic in ("true", "1", "yes"),
            gpu_bytes=None if memory_mb is None else round(memory_mb * 1e6),
            source=_source(text("source_repo"), text("source_path"), text("source_commit")) or path.name,
            at=text("source_locator") or f"line {reader.line_num}")


def _source(repo: str, where: str, commit: str) -> str:
    parts = [repo, "" if where in repo else where, f"@{commit[:8]}" if commit else ""]
    return " ".join(part for part in parts if part)
