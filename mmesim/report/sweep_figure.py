"""A sweep drawn: one setting as a line with its interval, two as a heat map, more as a panel for each setting.

In panels every point is drawn against each of its settings; what meets the objective is blue, what misses it amber, the
best one a star. Two settings of a random design are panels too: their points make no grid.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmesim.report.printed import INK, printed
from mmesim.report.theme import shorten
from mmesim.results.comparison import METRICS, Metric
from mmesim.results.sweep import Sweep, SweepAxis

if TYPE_CHECKING:
    from pandas import DataFrame, Series

MOST_CELLS = 3600
"""Of a heat map."""
WRITTEN_CELLS = 80
"""Up to so many, each has its number written in."""
COLUMNS = 3
"""Panels side by side."""
MOST_PANELS = 12
LOG_FROM = 10.0
"""The largest over the smallest from which on the scale is logarithmic."""
FEW = 8
"""Values of a setting up to which each is a place of its own."""
BY_KEY = {metric.key: metric for metric in METRICS}


def metric_of(sweep: Sweep) -> str:
    """What is drawn where nothing is asked for: what points are ranked by, and p99 in place of the cost."""
    return "latency.all.p99" if sweep.ranked_by.startswith("cost.") and "latency.all.p99" in sweep.summary \
        else sweep.ranked_by


def draw_sweep(sweep: Sweep, path: Path, key: str | None = None) -> None:
    """Write the figure of one metric. Raises InputError on a suffix that is no kind of figure."""
    key = key or metric_of(sweep)
    metric = BY_KEY.get(key, Metric(key, key, "", 0))
    table = sweep.summary[sweep.summary[key].notna()] if key in sweep.summary else sweep.summary[:0]
    axes = [axis for axis in sweep.axes if axis.values > 1] or list(sweep.axes)
    if len(axes) == 1:
        _line(sweep, table, axes[0], metric, path)
    elif len(axes) == 2 and _is_grid(table, axes):
        _heat_map(sweep, table, axes, metric, path)
    else:
        _panels(sweep, table, axes, metric, path)


def _title(sweep: Sweep, metric: Metric) -> str:
    n = len(sweep.seeds)
    return f"{sweep.name}: {metric.title}, mean of {n} seed{'' if n == 1 else 's'}"


def _axis_label(axis: SweepAxis) -> str:
    return f"{axis.path} ({axis.unit})" if axis.unit else axis.path


def _metric_label(metric: Metric) -> str:
    unit = "%" if metric.unit == "ratio" else metric.unit
    return f"{metric.title} ({unit})" if unit else metric.title


def _scale(metric: Metric) -> float:
    return 100.0 if metric.unit == "ratio" else 1.0


# ---- one setting


def _line(sweep: Sweep, table: DataFrame, axis: SweepAxis, metric: Metric, path: Path) -> None:
    with printed(path, 6.4, 3.8) as figure:
        panel = figure.subplots()
        where, names = _positions(table[axis.path])
        order = np.argsort(where, kind="stable")
        x, y = where[order], _scale(metric) * table[metric.key].to_numpy(float)[order]
        low, high = (_scale(metric) * table[f"{metric.key}.{end}"].to_numpy(float)[order] for end in ("low", "high"))
        if names is None:
            panel.fill_between(x, low, high, color=INK["blue"], alpha=0.2, lw=0)
            panel.plot(x, y, color=INK["blue"], marker="o", ms=3.5)
            if not (x % 1).any():
                panel.xaxis.get_major_locator().set_params(integer=True)
        else:
            panel.errorbar(x, y, np.nan_to_num(np.vstack((y - low, high - y))), fmt="o", color=INK["blue"], capsize=3)
            panel.set_xticks(range(len(names)), names)
        panel.set_xlabel(_axis_label(axis))
        panel.set_ylabel(_metric_label(metric))
        _from_zero(panel, y, high)
        figure.suptitle(_title(sweep, metric) + ("" if len(sweep.seeds) == 1 else
                                                 f" and {100 * sweep.confidence:.3g} % interval"), x=0.01, ha="left")


def _positions(column: Series) -> tuple[np.ndarray, list[str] | None]:
    """Numbers as they are; of text its place in the order of first use, and the names."""
    if column.dtype.kind in "iuf":
        return column.to_numpy(float, na_value=np.nan), None
    names = list(dict.fromkeys("as written" if value is None else str(value) for value in column.astype(object).where(
        column.notna(), None)))
    place = {name: k for k, name in enumerate(names)}
    numbers = [place["as written" if missing else str(value)]
               for value, missing in zip(column, column.isna(), strict=True)]
    return np.array(numbers, float), [shorten(name, 24) for name in names]


def _from_zero(panel: Any, y: np.ndarray, high: np.ndarray) -> None:
    """A scale that begins at 0, or by factors where the values are far apart."""
    if _is_wide(y[np.isfinite(y)]):
        panel.set_yscale("log")
        _by_factors(panel.yaxis)
    elif len(y):
        panel.set_ylim(0, 1.08 * np.nanmax(np.where(np.isfinite(high), high, y)) or 1)


def _by_factors(axis: Any) -> None:
    """Ticks of a logarithmic scale at 1, 2, 5, 10 …, written out."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
    axis.set_minor_locator(NullLocator())


def _is_wide(values: np.ndarray) -> bool:
    """Positive throughout, and far apart."""
    return bool(len(values) and values.min() > 0 and values.max() / values.min() >= LOG_FROM)


# ---- two settings


def _is_grid(table: DataFrame, axes: list[SweepAxis]) -> bool:
    """Each pair of values once, and a picture's worth of them."""
    first, second = (table[axis.path].nunique(dropna=False) for axis in axes)
    pairs = len(table[[axis.path for axis in axes]].drop_duplicates())
    return 0 < first * second <= MOST_CELLS and 2 * pairs > first * second and pairs == len(table)


def _heat_map(sweep: Sweep, table: DataFrame, axes: list[SweepAxis], metric: Metric, path: Path) -> None:
    from matplotlib.colors import LogNorm, Normalize

    first, second = sorted(axes, key=lambda axis: -axis.values)
    (rows, row_names), (columns, column_names) = _ranks(table[second.path]), _ranks(table[first.path])
    grid = np.full((len(row_names), len(column_names)), np.nan)
    grid[rows, columns] = _scale(metric) * table[metric.key].to_numpy(float)
    with printed(path, min(11.0, 2.8 + 0.62 * len(column_names)), min(9.0, 1.7 + 0.42 * len(row_names))) as figure:
        panel = figure.subplots()
        there = grid[np.isfinite(grid)]
        shades = "viridis_r" if metric.better < 0 else "viridis"
        norm = (LogNorm if _is_wide(there) else Normalize)(there.min(), there.max())
        picture = panel.pcolormesh(grid, cmap=shades, norm=norm, edgecolors="white", linewidth=0.5)
        if grid.size <= WRITTEN_CELLS:
            _write(panel, grid, norm)
        _ticks(panel.xaxis, column_names, 14)
        _ticks(panel.yaxis, row_names, 20)
        panel.grid(False)
        panel.set_xlabel(_axis_label(first))
        panel.set_ylabel(_axis_label(second))
        bar = figure.colorbar(picture, ax=panel, label=_metric_label(metric))
        if _is_wide(there):
            _by_factors(bar.ax.yaxis)
        figure.suptitle(_title(sweep, metric), x=0.01, ha="left")


def _ranks(column: Series) -> tuple[np.ndarray, list[str]]:
    """Place of each value: numbers by size, text in its order."""
    where, names = _positions(column)
    if names is not None:
        return where.astype(int), names
    values, place = np.unique(where, return_inverse=True)
    return place, [f"{value:g}" for value in values]


def _write(panel: Any, grid: np.ndarray, norm: Any) -> None:
    """The number of each cell, dark on light and light on dark."""
    dark = norm(grid) if panel.collections[0].cmap.name.endswith("_r") else 1 - norm(grid)
    for (row, column), value in np.ndenumerate(grid):
        if np.isfinite(value):
            ink = "white" if dark[row, column] > 0.45 else INK["ink"]
            panel.text(column + 0.5, row + 0.5, f"{value:,.0f}" if value >= 1000 else f"{value:.3g}", ha="center",
                       va="center", fontsize=7, color=ink)


def _ticks(axis: Any, names: list[str], most: int) -> None:
    step = math.ceil(len(names) / most)
    axis.set_ticks(np.arange(0, len(names), step) + 0.5, names[::step])


# ---- more settings


def _panels(sweep: Sweep, table: DataFrame, axes: list[SweepAxis], metric: Metric, path: Path) -> None:
    shown = axes[:MOST_PANELS]
    columns = min(COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    y = _scale(metric) * table[metric.key].to_numpy(float)
    with printed(path, 3.6 * columns, 0.6 + 2.7 * rows) as figure:
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for panel, axis in zip(panels, shown, strict=False):
            _cloud(panel, table, axis, y)
            panel.set_xlabel(_axis_label(axis))
        for panel in panels[len(shown):]:
            panel.set_visible(False)
        for panel in panels[:len(shown):columns]:
            panel.set_ylabel(_metric_label(metric))
        _from_zero(panels[0], y, y)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=4, fontsize=8, frameon=False)
        more = f" ({len(axes) - len(shown)} more settings are not drawn)" if len(axes) > len(shown) else ""
        figure.suptitle(_title(sweep, metric) + more, x=0.01, ha="left")


def _cloud(panel: Any, table: DataFrame, axis: SweepAxis, y: np.ndarray) -> None:
    """All points against one setting; where it has few values, its points lie beside each other."""
    x, names = _ranks(table[axis.path]) if table[axis.path].nunique() <= FEW else _positions(table[axis.path])
    x = x + (0.0 if names is None else 0.36 * ((np.arange(len(x)) * 0.618) % 1 - 0.5))
    missed = table["met_objective"].eq(False).fillna(False).to_numpy(bool)
    known = table["met_objective"].notna().to_numpy(bool)
    for here, colour, label in ((known & ~missed, "blue", "meets the objective"), (missed, "amber", "misses it"),
                                (~known, "blue", "point")):
        if here.any():
            panel.scatter(x[here], y[here], s=12, alpha=0.65, color=INK[colour], lw=0,
                          label=label)
    best = (table["rank"] == 1).fillna(False).to_numpy(bool)
    panel.scatter(x[best], y[best], s=90, marker="*", color=INK["red"], zorder=3,
                  label="best")
    if names is not None:
        panel.set_xticks(range(len(names)), names, rotation=20 if max(map(len, names)) * len(names) > 36 else 0)
    elif _is_wide(x):
        panel.set_xscale("log")
        _by_factors(panel.xaxis)

