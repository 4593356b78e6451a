"""The table of operating points: one row a point, named columns, ms, 10^6 bytes, percent.

In this form measurements are published, and `mmesim profile import` writes what it has read from other tools. Columns
are found by name; only `model` and `throughput_inf_per_s` must be there; an empty cell is a figure that is not known.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from mmesim.errors import InputError, Problem
from mmesim.profile.points import OperatingPoint
from mmesim.profile.readers.source import Figure, Row, Table, each, figures, read_tables, read_text, values

REQUIRED = ("model", "throughput_inf_per_s")
FIGURES: dict[str, Figure] = {
    **figures("", "1", request_rate_rps="request_rate_per_s", throughput_per_s="throughput_inf_per_s"),
    **figures("", "1e-3", latency_s="latency_avg_ms", p50_s="p50_ms", p90_s="p90_ms", p95_s="p95_ms", p99_s="p99_ms",
              queue_s="server_queue_ms", compute_input_s="compute_input_ms", compute_infer_s="compute_infer_ms",
              compute_output_s="compute_output_ms", send_recv_s="client_send_recv_ms", network_s="network_ms"),
    **figures("", "1e-2", gpu_utilization="gpu_util_pct"),
    **figures("", "1e6", gpu_bytes="gpu_mem_mb", idle_gpu_bytes="idle_gpu_mem_mb", ram_bytes="ram_mb"),
}
TEXTS = {"model": "model", "framework_backend": "backend", "precision": "precision", "gpu": "gpu",
         "input_spec": "input", "variant": "variant", "scenario": "scenario", "grade": "grade", "note": "note"}
COUNTS = {"instance_count": 0, "max_batch_size": 0, "batch_size": 1, "concurrency": 0}
"""Whole numbers and the least that makes sense."""
ANSWERS = {"": None, "true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
LISTS = ("co_located", "preferred_batch_sizes")
LIST_SEPARATOR = "; "
SOURCE, PLACE, RATIO = "source_path", "source_locator", "littles_law_ratio"
COLUMNS = ("model", "framework_backend", "precision", "gpu", "variant", "instance_count", "max_batch_size",
           "dynamic_batching", "preferred_batch_sizes", "batch_size", "concurrency", "request_rate_per_s", "co_located",
           "input_spec", "scenario", *[name for name in FIGURES if name != "request_rate_per_s"], RATIO, "grade",
           SOURCE, PLACE, "note")
"""What is written, in this order."""


def read_measurements(path: Path) -> list[OperatingPoint]:
    """All points of the table at `path`. Raises InputError with file, line and value."""
    tables = read_tables(path, read_text(path))
    return [point for table in tables for point in table_points(table)]


def table_points(table: Table) -> list[OperatingPoint]:
    """The points of one table. Raises InputError with file, line and value."""
    missing = [name for name in REQUIRED if name not in table.units]
    if missing:
        raise InputError(Problem(f"no column {', '.join(missing)}", file=str(table.path), line=table.line,
                                 hint=f"it has: {', '.join(table.units)}"))
    columns = table.figures(FIGURES)
    return each(table.rows, lambda row: _point(row, columns))


def _point(row: Row, columns: dict[str, Figure]) -> OperatingPoint:
    dynamic = row["dynamic_batching"]
    if dynamic.text.lower() not in ANSWERS:
        raise dynamic.wrong(hint="write true or false, or leave the cell empty")
    texts = {field: row.text(name) for name, field in TEXTS.items()}
    counts = {name: value for name, least in COUNTS.items() if (value := row.count(name, least)) is not None}
    sizes = row["preferred_batch_sizes"]
    fields: dict[str, Any] = {**texts, **counts, **values(row, columns)}
    return OperatingPoint(
        **fields, dynamic_batching=ANSWERS[dynamic.text.lower()],
        co_located=tuple(filter(None, row.text("co_located").split(LIST_SEPARATOR))),
        preferred_batch_sizes=tuple(sizes.part(size).count(1) for size in sizes.text.split(";") if size.strip()),
        source=_source(row.text("source_repo"), row.text(SOURCE), row.text("source_commit")) or row.path.name,
        at=row.text(PLACE) or f"line {row.line}")


def _source(repo: str, where: str, commit: str) -> str:
    parts = [repo, "" if where in repo else where, f"@{commit[:8]}" if commit else ""]
    return " ".join(part for part in parts if part)


def write_measurements(points: list[OperatingPoint]) -> str:
    """The points as the text of a table that :func:`read_measurements` reads back."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(_row, points))
    return text.getvalue()


def _row(point: OperatingPoint) -> dict[str, str]:
    ratio = point.littles_law
    row = {name: getattr(point, field) for name, field in TEXTS.items()}
    row |= {name: _written(getattr(point, name)) for name in COUNTS}
    row |= {name: "" if (value := getattr(point, figure.field)) is None else figure.text(value)
            for name, figure in FIGURES.items()}
    row |= {name: LIST_SEPARATOR.join(map(str, getattr(point, name))) for name in LISTS}
    return row | {"dynamic_batching": _written(point.dynamic_batching).lower(), SOURCE: point.source, PLACE: point.at,
                  RATIO: "" if ratio is None else f"{ratio:.4f}"}


def _written(value: object) -> str:
    return "" if value is None else str(value)
