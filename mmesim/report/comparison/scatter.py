"""Figures of points: what latency costs, and which models win or lose."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmesim.report.comparison.intervals import known
from mmesim.report.comparison.lines import key
from mmesim.report.comparison.looks import Look
from mmesim.report.comparison.models import MOST_POINTS, against_baseline
from mmesim.report.figures import latency_limits, latency_scale
from mmesim.report.intervals import arms
from mmesim.report.theme import FULL, colour, new_figure, shorten
from mmesim.report.wording import money, number
from mmesim.results.comparison import Comparison, Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P99 = "latency.all.p99"
VARIES = 1e-3
"""Relative spread of means from which on a metric is worth an axis."""
COLUMNS = 4


@dataclass(frozen=True)
class Price:
    """What stands against p99: the horizontal axis of the trade-off."""

    key: str
    title: str
    better: int
    why: str
    """Why it is not the cost; empty when it is."""


def price_of(comparison: Comparison) -> Price | None:
    """The cost; where that is the same for all, the instances; where those are too, the hit ratio. None without p99."""
    if not known(comparison, P99):
        return None
    if varies(comparison, "cost.per_hour"):
        return Price("cost.per_hour", "cost per hour (USD)", -1, "")
    why = "The cost is the same for all" if known(comparison, "cost.per_hour") else "No price is known"
    if varies(comparison, "instances.mean"):
        return Price("instances.mean", "instances in service, mean", -1, f"{why}, so p99 stands against instances.")
    if known(comparison, "cache.hit_ratio"):
        return Price("cache.hit_ratio", "hit ratio (%)", +1,
                     f"{why}, and all have the same number of instances, so p99 stands against the hit ratio.")
    return None


def varies(comparison: Comparison, key_: str) -> bool:
    """Whether the variants differ in a metric at all."""
    means = [variant.values[key_].mean for variant in comparison.variants if key_ in variant.values]
    return len(means) > 1 and max(means) - min(means) > VARIES * max(abs(value) for value in means)


def trade_off(comparison: Comparison, looks: dict[str, Look]) -> Figure:
    """Each variant a cross of two intervals; the line joins those that no other beats in both (by their means)."""
    price = price_of(comparison)
    assert price
    figure, axes = new_figure(FULL, 4.6)
    points = {variant.name: (variant.values[price.key], variant.values[P99]) for variant in comparison.variants
              if price.key in variant.values and P99 in variant.values}
    scale = 100.0 if price.key == "cache.hit_ratio" else 1.0
    for name, (x, y) in reversed(points.items()):
        _cross(axes, x, y, scale, looks[name])
    best = front({name: (x.mean * -price.better, y.mean) for name, (x, y) in points.items()})
    axes.plot([scale * points[name][0].mean for name in best], [points[name][1].mean for name in best], lw=6,
              color=colour("pale"), alpha=0.55, zorder=1, solid_joinstyle="round")
    latency_limits(axes, [end for _, y in points.values() for end in (y.low, y.mean, y.high)])
    axes.margins(x=0.12)
    if scale == 1.0:
        axes.xaxis.set_major_formatter(lambda value, _: money(value) if price.key.startswith("cost") else number(value))
    axes.set_xlabel(f"{price.title}, {'more' if price.better > 0 else 'less'} is better")
    axes.set_ylabel("p99 latency")
    axes.grid(True, axis="both")
    for name in best:
        x, y = points[name]
        axes.annotate(shorten(name, 30), (scale * x.mean, y.mean), (7, 7), textcoords="offset points", fontsize=8.5,
                      color=colour("ink"))
    key(figure, [looks[name] for name in points])
    return figure


def _cross(axes: Any, x: Interval, y: Interval, scale: float, look: Look) -> None:
    across = arms(x)
    axes.errorbar(scale * x.mean, y.mean, xerr=across and [[scale * end[0]] for end in across], yerr=arms(y),
                  marker=look.marker, ms=6.5 if look.drawn else 4.5, lw=1.1, color=colour(look.colour),
                  alpha=1.0 if look.drawn else 0.6, zorder=4 if look.drawn else 2)


def front(points: dict[str, tuple[float, float]]) -> list[str]:
    """The Pareto front of (x, y), of both of which less is better, by growing x."""
    chosen: list[str] = []
    lowest = math.inf
    for name, (_, y) in sorted(points.items(), key=lambda item: item[1]):
        if y < lowest:
            chosen.append(name)
            lowest = y
    return chosen


def winners_and_losers(comparison: Comparison, looks: dict[str, Look]) -> Figure:
    """A panel for each variant that stands out: every model's mean latency there over the baseline's."""
    shown = [variant.name for variant in comparison.variants[1:] if looks[variant.name].drawn]
    columns = min(COLUMNS, len(shown))
    figure, grid = new_figure(FULL, 0.5 + 2.75 * math.ceil(len(shown) / columns), nrows=math.ceil(len(shown) / columns),
                              ncols=columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(shown):]:
        axes.set_visible(False)
    for axes, name in zip(grid.flat, shown, strict=False):
        _panel(axes, comparison, looks[name])
    low, high = grid[0, 0].get_xlim()
    low, high = min(low, grid[0, 0].get_ylim()[0]), max(high, grid[0, 0].get_ylim()[1])
    for axes in grid.flat[:len(shown)]:
        axes.plot((low, high), (low, high), color=colour("ink"), lw=0.9, zorder=2)
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        latency_scale(axes.xaxis, axes)
        latency_scale(axes.yaxis, axes)
        axes.label_outer()
    figure.supxlabel("mean latency of a model in the baseline", fontsize=8.5, color=colour("muted"))
    figure.supylabel("in the variant", fontsize=8.5, color=colour("muted"))
    return figure


def _panel(axes: Any, comparison: Comparison, look: Look) -> None:
    """Dots as three paths a side, by the models' share of requests: thousands of them stay small in the file."""
    models = against_baseline(comparison, look.name).nlargest(MOST_POINTS, "invocations")
    x, y = (models[name].to_numpy(np.float64) for name in ("before_ms", "after_ms"))
    part = (models["invocations"] / models["invocations"].sum()).to_numpy(np.float64)
    sizes = np.digitize(part, (0.002, 0.02))
    axes.set_xscale("log")
    axes.set_yscale("log")
    for side, shade in ((y == x, "grey"), (y > x, "red"), (y < x, "teal")):
        for size, width in enumerate((2.2, 4.0, 7.0)):
            _dots(axes, x[side & (sizes == size)], y[side & (sizes == size)], colour(shade), width)
    axes.set_title(look.short, fontsize=8.5, color=colour("ink"))
    axes.annotate("slower", (0, 1), (4, -10), xycoords="axes fraction", textcoords="offset points", fontsize=8,
                  color=colour("red"))
    axes.annotate("faster", (1, 0), (-4, 5), xycoords="axes fraction", textcoords="offset points", fontsize=8,
                  color=colour("teal"), ha="right")
    axes.grid(True, axis="both")


def _dots(axes: Any, x: NDArray[np.float64], y: NDArray[np.float64], shade: str, width: float) -> None:
    """Round dots as strokes of hardly any length, in one path."""
    each = np.repeat(np.column_stack((x, y)), 3, axis=0)
    each[1::3] *= 1.002
    each[2::3] = np.nan
    axes.plot(each[:, 0], each[:, 1], color=shade, lw=width, solid_capstyle="round", alpha=0.6, zorder=3)
    axes.lines[-1].get_path().should_simplify = False
