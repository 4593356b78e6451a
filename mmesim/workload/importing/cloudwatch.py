"""Amazon CloudWatch: `Invocations` (statistic Sum) of an endpoint or of each model, per period.

- JSON of ``aws cloudwatch get-metric-data``: ``MetricDataResults``, each with ``Label``, ``Timestamps``, ``Values``;
  the label names the model (give it in the query: ``"Label": "resnet-007"``).
- JSON of ``aws cloudwatch get-metric-statistics --statistics Sum``: ``Label`` (the metric's name) and ``Datapoints``
  with ``Timestamp``, ``Sum``; one file a model, named by --model or else by the file.
- The console's "Download as .csv": lines of labels, then lines of a date and a value for each series. Its layout is not
  documented; any lines before the first date are taken as labels, and the one that begins with "Label" wins.

Checked against the API reference (MetricDataResult) and examples of the CLI's output, not against an account. A period
that is longer than a minute is spread evenly over its minutes. No point for a period means no request.
"""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from mmesim.errors import InputError, Problem
from mmesim.workload.importing.rows import Counts, Notes
from mmesim.workload.importing.table import iso_ns

MINUTE_S = 60
Point = tuple[str, Any, Any, str]
"""Model, time, value, and where it stands."""


def looks_like(first_line: str, path: Path) -> bool:
    """JSON of one of the two calls, or the console's labels."""
    if first_line.startswith("{"):
        return bool({"MetricDataResults", "Datapoints"} & set(_document(path)))
    return first_line.lower().startswith(("full label", "label,", '"label"'))


def read(path: Path, model: str, period_s: int, notes: Notes) -> Counts:
    """The points of a file; `period_s` 0: the least distance of two points."""
    text = path.read_text(encoding="utf-8-sig")
    points = _from_json(path, model, notes) if text.lstrip().startswith("{") else _from_console(path, text, model)
    good = [point for point in points if _is_count(path, point, notes)]
    times = np.array([str(time) for _, time, _, _ in good], dtype=object)
    t_ns, readable = _times(times)
    for k in np.flatnonzero(~readable):
        notes.bad(path, f"this is no date and time: {times[k]!r} ({good[k][3]})")
    kept = np.flatnonzero(readable)
    names = np.array([point[0] for point in good], dtype=object)[kept]
    counts = np.array([round(float(point[2])) for point in good], dtype=np.int64)[kept]
    return Counts(t_ns[kept], names, counts, period_s or _period_s(path, t_ns[kept], notes))


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 0
        raise InputError(Problem(f"this is not JSON: {error}", file=str(path), line=line)) from None
    if not isinstance(document, dict):
        raise InputError(Problem("this is not what CloudWatch answers", file=str(path), hint="save the whole answer"))
    return document


def _from_json(path: Path, model: str, notes: Notes) -> list[Point]:
    document = _document(path)
    if "Datapoints" in document:
        name = model or path.name.partition(".")[0]
        return [(name, point.get("Timestamp"), point.get("Sum"), f"Datapoints[{k}]")
                for k, point in enumerate(document["Datapoints"])]
    if document.get("NextToken"):
        notes.remarks.append(f"{path.name}: there is a NextToken: this is not the whole answer")
    points: list[Point] = []
    for n, series in enumerate(document.get("MetricDataResults", [])):
        if series.get("StatusCode") not in (None, "Complete"):
            notes.remarks.append(f"{path.name}: {series.get('Label')}: {series['StatusCode']}")
        name = model or series.get("Label") or series.get("Id", "")
        points += [(name, time, value, f"MetricDataResults[{n}].Values[{k}]") for k, (time, value) in
                   enumerate(zip(series.get("Timestamps", []), series.get("Values", []), strict=False))]
    return points


def _from_console(path: Path, text: str, model: str) -> list[Point]:
    labels: list[str] = []
    points: list[Point] = []
    for line, cells in enumerate(csv.reader(text.splitlines()), 1):
        if not cells or not cells[0].strip():
            continue
        if not cells[0][:1].isdigit():
            if not labels or cells[0].strip().lower() == "label":
                labels = [cell.strip() for cell in cells[1:]]
            continue
        names = [model] if model else labels
        points += [(name, cells[0], value, f"line {line}") for name, value in zip(names, cells[1:], strict=False)
                   if value.strip()]
    return points


def _is_count(path: Path, point: Point, notes: Notes) -> bool:
    """Whether the value is a sum of requests. Raises InputError unless others are skipped."""
    _, _, value, where = point
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if number >= 0 and number == round(number):
        return True
    notes.bad(path, f"this is no number of requests: {value!r} ({where})",
              hint="ask for the statistic Sum of Invocations")
    return False


def _times(times: Any) -> Any:
    """CLI version 1 may give Unix seconds, version 2 gives ISO 8601."""
    try:
        return np.array([int(float(time) * 1e9) for time in times], dtype=np.int64), np.ones(len(times), bool)
    except ValueError:
        return iso_ns(times)


def _period_s(path: Path, t_ns: Any, notes: Notes) -> int:
    distances = np.diff(np.unique(t_ns))
    if not len(distances):
        return MINUTE_S
    period_s = max(MINUTE_S, int(np.gcd.reduce(distances)) // 1_000_000_000 // MINUTE_S * MINUTE_S)
    if period_s > MINUTE_S:
        notes.remarks.append(f"{path.name}: a period of {period_s} s by the distance of its points (--period decides); "
                             "spread evenly over its minutes")
    return period_s
