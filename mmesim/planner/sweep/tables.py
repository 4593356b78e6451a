"""From cells to the tables of a sweep: typed columns of settings, a row a run, means and intervals a point.

Intervals are Student's t over seeds, as in a comparison, cut to what the number can be (none is negative, no share is
more than the whole).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmesim.errors import InputError
from mmesim.planner.compare.ranking import BY_KEY, WHOLE
from mmesim.planner.runs.cells import KEPT
from mmesim.results.sweep import SweepAxis
from mmesim.units import parse_bytes, parse_duration_s, parse_fraction, parse_rate_bps
from mmesim.yamldoc import parse_value

if TYPE_CHECKING:
    import pandas as pd

    from mmesim.planner.sweep.points import Point

QUANTITIES: Sequence[tuple[str, Callable[[str], float]]] = (
    ("s", parse_duration_s), ("B", parse_bytes), ("B/s", parse_rate_bps), ("ratio", parse_fraction))
"""Unit of a column -> how its values are read, tried in this order."""
FACTS = ("seed", "met_objective", "invocations", "failed", "wall_s", "digest")
"""What a row of a run has beside its metrics."""


def settings_table(points: Sequence[Point], paths: Sequence[str]) -> tuple[pd.DataFrame, list[SweepAxis]]:
    """point, a column a setting, error; and what the columns are."""
    import pandas as pd

    columns: dict[str, Any] = {"point": pd.array([point.number for point in points], "Int64").astype("int64")}
    found = []
    for path in paths:
        columns[path], unit = _typed([point.settings.get(path) for point in points])
        found.append(SweepAxis(path, unit, len({point.settings.get(path) for point in points})))
    columns["error"] = pd.array([point.error or None for point in points], "string")
    return pd.DataFrame(columns), found


def _typed(written: Sequence[str | None]) -> tuple[pd.api.extensions.ExtensionArray, str]:
    """Truths, whole numbers, numbers, quantities in their base unit, else text; what is not written is missing."""
    import pandas as pd

    read = [None if text is None else _read(text) for text in written]
    there = [value for value in read if value is not None]
    for kind, dtype in ((bool, "boolean"), (int, "Int64"), ((int, float), "Float64")):
        if there and all(isinstance(value, kind) and (kind is bool or not isinstance(value, bool)) for value in there):
            return pd.array(read, dtype), ""
    for unit, parse in QUANTITIES:
        if there and (numbers := _parsed(written, parse)) is not None:
            return pd.array(numbers, "Float64"), unit
    return pd.array(list(written), "string"), ""


def _read(text: str) -> Any:
    try:
        return parse_value(text, "")
    except InputError:
        return text


def _parsed(written: Iterable[str | None], parse: Callable[[str], float]) -> list[float | None] | None:
    try:
        return [None if text is None else float(parse(text)) for text in written]
    except (ValueError, TypeError):
        return None


def runs_table(settings: pd.DataFrame, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A row a run (``point``, `FACTS` and metrics), and a row a point that is wrong."""
    import pandas as pd

    keys = known_keys(rows)
    runs = pd.DataFrame([[row.get(key) for key in ("point", *FACTS)] + [_number(row["values"].get(key)) for key in keys]
                         for row in rows], columns=["point", *FACTS, *keys])
    kinds = {"point": "int64", "seed": "Int64", "met_objective": "boolean", "invocations": "Int64", "failed": "Int64",
             "wall_s": "float64", "digest": "string"}
    return settings.merge(runs.astype(kinds), on="point", how="left")


def known_keys(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Metrics that exist in some run."""
    return [key for key in KEPT if any(row["values"].get(key) is not None for row in rows)]


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def summary_table(settings: pd.DataFrame, runs: pd.DataFrame, keys: Sequence[str], order: Sequence[int],
                  confidence: float) -> pd.DataFrame:
    """A row a point: rank, seeds, met_objective, and mean, low and high of every metric."""
    import pandas as pd

    ran = runs[runs["seed"].notna()]
    groups = ran.groupby("point")
    means = groups[list(keys)].mean()
    half = _half_widths(groups[list(keys)], confidence)
    table = pd.DataFrame({"rank": pd.Series(range(1, len(order) + 1), index=list(order), dtype="Int64"),
                          "seeds": groups.size().astype("Int64"), "met_objective": groups["met_objective"].apply(_all)})
    table["met_objective"] = table["met_objective"].astype("boolean")
    columns = {}
    for key in keys:
        most = WHOLE.get(BY_KEY[key].unit, math.inf) if key in BY_KEY else math.inf
        columns |= {key: means[key], f"{key}.low": (means[key] - half[key]).clip(lower=0.0),
                    f"{key}.high": (means[key] + half[key]).clip(upper=most)}
    whole = pd.concat([table, pd.DataFrame(columns)], axis=1).rename_axis("point").reset_index()
    return settings.merge(whole, on="point", how="left")


def _half_widths(groups: Any, confidence: float) -> pd.DataFrame:
    """Of the intervals; exactly 0 where all seeds agree, missing where there is one."""
    from scipy.special import stdtrit

    n = groups.count()
    quantile = stdtrit(np.maximum(n.to_numpy() - 1, 1), 0.5 + confidence / 2)
    half = groups.std(ddof=1) * quantile / np.sqrt(np.maximum(n, 1))
    return half.where(~((groups.max() == groups.min()) & (n > 1)), 0.0)


def _all(met: pd.Series) -> Any:
    import pandas as pd

    return pd.NA if met.isna().any() else bool(met.all())
