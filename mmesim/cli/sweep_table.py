"""A sweep in the terminal: its best points, and a design before it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmesim.cli.output import print_json, print_table
from mmesim.report.intervals import shown
from mmesim.report.wording import format_duration, plural
from mmesim.results.comparison import METRICS, Interval
from mmesim.results.sweep import Sweep

if TYPE_CHECKING:
    from mmesim.planner.sweep.points import Point

BEST = 10
"""Rows of the table."""
KEYS = ("cost.per_hour", "latency.all.p99", "cache.hit_ratio", "requests.error_rate")
"""After what the points are ranked by."""
BY_KEY = {metric.key: metric for metric in METRICS}


def show(sweep: Sweep, as_json: bool) -> None:
    """Print the best points, or the sweep with all of them as one JSON document."""
    table = sweep.summary.sort_values("rank", na_position="last")
    if as_json:
        from mmesim.results.sweep_files import as_json as as_document
        print_json(as_document(sweep) | {"summary": [_plain(row) for row in table.to_dict("records")]})
        return
    rows = [_row(sweep, row) for row in table.head(BEST).to_dict("records")]
    print_table(rows, title=_title(sweep), caption=_caption(sweep))


def _title(sweep: Sweep) -> str:
    runs, points = sweep.timing["runs"], len(sweep.summary)
    return (f"\n{sweep.name}: {plural(points, 'point')}, {plural(len(sweep.seeds), 'seed')}, {plural(runs, 'run')}, "
            f"{format_duration(sweep.timing['wall_s'])}; ranked by {BY_KEY[sweep.ranked_by].title}")


def _caption(sweep: Sweep) -> str:
    more, wrong = len(sweep.summary) - BEST, int(sweep.summary["error"].notna().sum())
    parts = [f"{plural(more, 'more point')} in summary.parquet" if more > 0 else "",
             f"{plural(wrong, 'point')} could not run: column error" if wrong else "",
             "✗: misses the objective" if sweep.summary["met_objective"].eq(False).any() else ""]
    return "; ".join(part for part in parts if part)


def _row(sweep: Sweep, row: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"": "" if _is_missing(row["rank"]) else f"{row['rank']}" +
                             (" ✗" if _is_false(row["met_objective"]) else "")}
    for axis in sweep.axes:
        value = row[axis.path]
        found[axis.title] = "" if _is_missing(value) else f"{value:g} {axis.unit}".strip() \
            if isinstance(value, float) else value
    for key in dict.fromkeys((sweep.ranked_by, *KEYS)):
        if key in row:
            found[BY_KEY[key].title] = _number(row, key)
    if sweep.summary["error"].notna().any():
        found["error"] = "" if _is_missing(row["error"]) else row["error"]
    return found


def _number(row: Mapping[str, Any], key: str) -> str:
    """``1.2 s [1.1, 1.3]``."""
    if _is_missing(row[key]):
        return "–"
    n = int(row["seeds"])
    low, high = (row[f"{key}.low"], row[f"{key}.high"]) if n > 1 else (-math.inf, math.inf)
    text = shown(Interval(row[key], low, high, n), BY_KEY[key].unit)
    return text.mean if n == 1 else f"{text.mean} {text.interval}"


def _is_missing(value: Any) -> bool:
    import pandas as pd
    return bool(pd.isna(value))


def _is_false(value: Any) -> bool:
    return not _is_missing(value) and not value


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON has it."""
    return {key: None if _is_missing(value) else value.item() if hasattr(value, "item") else value
            for key, value in row.items()}


def show_design(points: Sequence[Point], stored: int, seeds: int, as_json: bool) -> None:
    """Print the points of a design, what is wrong with them, and how many runs are left."""
    rows = [{"point": point.number, **point.settings, "error": point.error} for point in points]
    if as_json:
        print_json({"points": rows, "seeds": seeds, "stored": stored})
        return
    paths = list(dict.fromkeys(path for point in points for path in point.settings))
    wrong = sum(bool(point.error) for point in points)
    columns = ["point", *paths, *(["error"] if wrong else [])]
    told = f"; {plural(wrong, 'point')} cannot run" if wrong else ""
    told = f"{plural(len(points), 'point')} of {plural(seeds, 'seed')}; {plural(stored, 'run')} stored{told}"
    print_table([{name: row.get(name, "") for name in columns} for row in rows], caption=told)
