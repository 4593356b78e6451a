"""Figures with a row for each variant: differences to the baseline, cold starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmesim.report.comparison.intervals import change, known, verdict
from mmesim.report.comparison.looks import Look
from mmesim.report.intervals import arms
from mmesim.report.theme import FULL, colour, legend_below, new_figure
from mmesim.report.wording import format_count
from mmesim.results.comparison import Comparison, Interval, Metric
from mmesim.results.comparison_interval import interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEY_METRICS = ("cache.hit_ratio", "latency.all.mean", "latency.all.p99", "cost.per_hour", "requests.error_rate")
"""Of the differences; what the variants are ranked by is added when it is none of them."""
TIERS = (("cache.cold_starts.disk", "from disk", "amber", ""), ("cache.cold_starts.s3", "from S3", "red", "////"),
         ("cache.cold_starts.failed", "failed waiting", "purple", "xxxx"))
"""Metric key, label, colour, hatch."""
ROW_IN = 0.27
VERDICT_COLOURS = {"better": "teal", "worse": "red", "": "muted"}


def key_metrics(comparison: Comparison) -> list[Metric]:
    """Those drawn as differences: some variant has one."""
    keys = dict.fromkeys((*KEY_METRICS, comparison.ranked_by))
    return [comparison.metric(key) for key in keys if known(comparison, key)
            and any(change(variant, comparison.metric(key)) for variant in comparison.variants)]


def differences(comparison: Comparison, looks: dict[str, Look]) -> Figure:
    """One panel a metric, one row a variant: the difference to the baseline with its interval."""
    chosen, rows = key_metrics(comparison), comparison.variants[1:]
    figure, panels = new_figure(FULL, 1.0 + ROW_IN * len(rows), ncols=len(chosen), sharey=True, squeeze=False)
    for axes, metric in zip(panels[0], chosen, strict=True):
        axes.axvline(0, color=colour("ink"), lw=1)
        for k, variant in enumerate(rows):
            found = change(variant, metric)
            if found is not None:
                _whisker(axes, k, found[0], VERDICT_COLOURS[verdict(variant, metric)])
        _panel(axes, metric, [found for variant in rows if (found := change(variant, metric))])
    name_rows(panels[0][0], [looks[variant.name] for variant in rows])
    return figure


def _whisker(axes: Any, row: int, value: Interval, shade: str) -> None:
    """The mean, full when its sign is known, and the interval, when there is one."""
    if math.isfinite(value.low):
        axes.plot((value.low, value.high), (row, row), color=colour(shade), lw=2.2, solid_capstyle="butt", alpha=0.55)
    axes.plot(value.mean, row, "o", ms=5, color=colour(shade), mew=1.3,
              mfc=colour(shade) if value.excludes_zero else colour("surface"))


def _panel(axes: Any, metric: Metric, values: Sequence[tuple[Interval, str]]) -> None:
    """Title, which way is better, and a scale that shows the zero."""
    unit = values[0][1]
    better = {-1: " (◂ better)", 1: " (better ▸)", 0: ""}[metric.better]
    axes.set_title(metric.title + better, fontsize=9, color=colour("ink"))
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:+g}" if value and unit in ("ratio", "points")
                                   else f"{value:+g}" if value else "0")
    axes.set_xlabel({"ratio": "% of the baseline's", "points": "percentage points"}.get(unit, unit))
    axes.locator_params(axis="x", nbins=5)
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")
    ends = [end for value, _ in values for end in (value.low, value.mean, value.high) if math.isfinite(end)]
    reach = max((abs(end) for end in ends), default=0.0) or 0.01
    axes.set_xlim(min(0.0, *ends) - 0.06 * reach, max(0.0, *ends) + 0.06 * reach)


def name_rows(axes: Any, row_looks: Sequence[Look]) -> None:
    """Names at the left with the variants' markers, the first on top."""
    n = len(row_looks)
    axes.set_ylim(n - 0.4, -0.6)
    axes.set_yticks(range(n), labels=[look.short for look in row_looks], color=colour("ink"))
    axes.tick_params(axis="y", pad=16)
    for k, look in enumerate(row_looks):
        axes.plot([0], [k], marker=look.marker, ms=4.5, color=colour(look.colour), clip_on=False, ls="",
                  transform=_beside(axes))


def _beside(axes: Any) -> Any:
    """Data heights, 9 points left of the axes."""
    from matplotlib.transforms import ScaledTranslation

    return axes.get_yaxis_transform() + ScaledTranslation(-9 / 72, 0, axes.figure.dpi_scale_trans)


def cold_starts(comparison: Comparison, looks: dict[str, Look]) -> Figure:
    """Stacked bars of the cold starts of a run by where the files were, with the interval of their sum."""
    tiers = cold_tiers(comparison)
    figure, axes = new_figure(FULL, 1.1 + ROW_IN * len(comparison.variants))
    for k, variant in enumerate(comparison.variants):
        left = 0.0
        for key, _, shade, hatch in tiers:
            n = variant.values[key].mean if key in variant.values else 0.0
            axes.barh(k, n, left=left, height=0.62, color=colour(shade), hatch=hatch, edgecolor=colour("surface"), lw=0)
            left += n
        total = cold_total(comparison, variant.name)
        if total.n > 1:
            axes.errorbar(total.mean, k, xerr=arms(total), capsize=3, lw=1.2, color=colour("ink"))
    for _, label, shade, hatch in tiers:
        axes.barh(0, 0, color=colour(shade), hatch=hatch, edgecolor=colour("surface"), lw=0, label=label)
    name_rows(axes, [looks[variant.name] for variant in comparison.variants])
    axes.xaxis.set_major_formatter(lambda value, _: format_count(value))
    axes.set_xlim(left=0)
    axes.set_xlabel("cold starts a run")
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")
    legend_below(figure, axes)
    return figure


def cold_tiers(comparison: Comparison) -> list[tuple[str, str, str, str]]:
    """Those of `TIERS` that some variant has."""
    return [tier for tier in TIERS if any(tier[0] in variant.values for variant in comparison.variants)]


def cold_total(comparison: Comparison, name: str) -> Interval:
    """All cold starts of a run of this variant."""
    keys = [key for key, *_ in cold_tiers(comparison) if key in comparison.cells]
    cells = comparison.cells[comparison.cells["variant"] == name]
    total = interval(np.asarray(cells[keys].sum(axis=1), np.float64).tolist(), comparison.confidence)
    assert total, "a comparison has a seed"
    return total
