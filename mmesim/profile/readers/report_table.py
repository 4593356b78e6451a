"""The result tables of Model Analyzer's reports, as they are pasted in markdown.

A summary has one row for each variant, its best measurement, at a load that is not told; a detailed report has one row
for each load of one variant that is not named. Neither has a mean latency, so that Little's law cannot be tested.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmesim.profile.points import OperatingPoint
from mmesim.profile.readers.naming import instance_group, model_of_variant
from mmesim.profile.readers.reading import Reading, source_name
from mmesim.profile.readers.source import Figure, Row, Table, each, figures, make_table, values

KIND = "Model Analyzer report table"
VARIANT = "model config name"
LOADS = ("request concurrency", "request rate", "client batch size")
FIGURES = {
    **figures("infer/sec", "1", throughput_per_s="throughput"),
    **figures("ms", "1e-3", p99_s="p99 latency", queue_s="server queue", compute_input_s="server compute input",
              compute_infer_s="server compute infer"),
    **figures("MB", "1e6", gpu_bytes="max gpu memory usage", ram_bytes="max cpu memory usage"),
    **figures("%", "1e-2", gpu_utilization="average gpu utilization"),
}
BATCHING = {"enabled": True, "disabled": False, "": None, "n/a": None}
INSTANCES = ("total instance count", "instance count")
THROUGHPUT = "throughput (infer/sec)"
FEWEST_BARS = 2
RULER = re.compile(r"[\s|:-]+\Z")


def pasted_tables(path: Path, text: str) -> list[Table]:
    """All tables in a markdown text that have Model Analyzer's throughput column. Raises InputError."""
    return [make_table(path, lines) for lines in _pipes(text)
            if THROUGHPUT in (cell.lower() for cell in lines[0][1]) and len(lines) > 1]


def is_report_table(table: Table) -> bool:
    """Whether the table is of a report, rather than one of Model Analyzer's CSV files with bars."""
    return bool({VARIANT, *LOADS} & set(table.units)) and "model" not in table.units


def _pipes(text: str) -> Iterator[list[tuple[int, list[str]]]]:
    """(line, cells) of each run of lines with bars."""
    block: list[tuple[int, list[str]]] = []
    for number, raw in enumerate([*text.splitlines(), ""], 1):
        line = raw.strip(" \t>")
        if line.count("|") >= FEWEST_BARS:
            if not RULER.match(line):
                block.append((number, [cell.strip(" `*") for cell in line.strip("|").split("|")]))
        elif block:
            yield block
            block = []


def read_report_tables(tables: list[Table]) -> list[Reading]:
    """One reading for each table; the model of a detailed table is that of the only summary, or missing."""
    named = {model_of_variant(row.text(VARIANT)) for table in tables for row in table.rows} - {""}
    model = named.pop() if len(named) == 1 else ""
    return [_reading(table, model) for table in tables]


def _reading(table: Table, model: str) -> Reading:
    columns = table.figures(FIGURES)
    remarks = [f"{table.path.name}: a table of a report has neither mean latency nor "
               f"{'load' if VARIANT in table.units else 'variant'}"]
    return Reading(table.path, KIND, each(table.rows, lambda row: _point(row, columns, model)), remarks,
                   batch_known="client batch size" in table.units)


def _point(row: Row, columns: dict[str, Figure], model: str) -> OperatingPoint:
    batching = row["dynamic batching"]
    if batching.text.lower() not in BATCHING:
        raise batching.wrong(hint="Enabled or Disabled")
    found: dict[str, Any] = values(row, columns)
    if text := row.text(*INSTANCES):
        group = instance_group(text)
        if group is None:
            raise row.wrong(f"instance count is {text!r}", "written as 2:GPU or 4/GPU")
        found["instance_count"] = group[0]
    rate = row["request rate"]
    return OperatingPoint(
        **found, model=model_of_variant(row.text(VARIANT)) or model, variant=row.text(VARIANT),
        max_batch_size=row.count("max batch size"), dynamic_batching=BATCHING[batching.text.lower()],
        concurrency=row.count("request concurrency", 1), batch_size=row.count("client batch size", 1) or 1,
        request_rate_rps=float(rate.number()) if rate.text else None, source=source_name(row.path),
        at=f"line {row.line}")
