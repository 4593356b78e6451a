"""Figures of a what-if: recorded beside simulated over time, how far they are apart, and what changes do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmesim.report.figures import latency_limits
from mmesim.report.theme import FULL, MODEL_COLOURS, colour, legend_below, new_figure, shorten
from mmesim.report.timeline import unit_of
from mmesim.results.comparison import Interval
from mmesim.results.history import POINTS, Agreement, Change, Course, Effect, WhatIf

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = ("cache.hit_ratio", "latency.all.mean", "latency.all.p50", "latency.all.p90", "latency.all.p99",
         "latency.cold.p50", "requests.error_rate", "cache.cold_starts", "residency.loads", "instances.mean",
         "GPUUtilization")
"""Effects that are drawn, where they are there; all of them stand in the table."""


def over_time(answer: WhatIf) -> Figure:
    """A panel for each number; simulated on top of recorded."""
    n = len(answer.courses)
    figure, rows = new_figure(FULL, 0.9 + 1.5 * n, nrows=n, sharex=True, squeeze=False)
    warmup_s = float(answer.past["warmup_s"])
    unit_s, unit = unit_of(float(answer.past["length_s"]))
    for axes, course in zip(rows[:, 0], answer.courses, strict=True):
        at = (warmup_s + answer.piece_s * (np.arange(len(course.recorded)) + 0.5)) / unit_s
        _lines(axes, at, course)
        axes.axvspan(0, warmup_s / unit_s, color=colour("shade"), lw=0, zorder=0)
    rows[-1, 0].set_xlabel(f"time from the beginning of the slice ({unit})")
    rows[-1, 0].set_xlim(0, float(answer.past["length_s"]) / unit_s)
    legend_below(figure, rows[0, 0])
    return figure


def _lines(axes: Any, at: Any, course: Course) -> None:
    scale, unit = (100.0, " (%)") if course.metric.unit == "ratio" else (1.0, "")
    recorded, simulated = (_array(values) * scale for values in (course.recorded, course.simulated))
    axes.plot(at, recorded, color=colour("ink"), lw=1.8, label="recorded")
    axes.plot(at, simulated, color=colour("blue"), lw=1.6, ls=(0, (4, 1.5)), label="simulated")
    axes.set_title(course.metric.title + unit, color=colour("ink"))
    axes.margins(y=0.12)
    values = np.concatenate([recorded, simulated])
    if course.metric.unit == "ms" and np.isfinite(values).any() and np.nanmax(values) > 0:
        latency_limits(axes, values.tolist())
    elif course.metric.unit != "ratio":
        axes.set_ylim(bottom=0)


def _array(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], float)


# ---- dots


def judged(answer: WhatIf) -> list[Agreement]:
    """Numbers whose difference is judged and known."""
    return [each for each in answer.agreements if each.trust is not None and each.difference is not None]


def fidelity(answer: WhatIf) -> Figure:
    """One row a judged number: its difference and its trust."""
    found = judged(answer)
    figure, axes = new_figure(FULL, 0.9 + 0.36 * len(found))
    for row, each in enumerate(found):
        assert each.trust is not None and each.difference is not None
        axes.plot([-100 * each.trust, 100 * each.trust], [row, row], color=colour("pale"), lw=9, solid_capstyle="butt",
                  zorder=2, label="within the trust" if not row else None)
        axes.plot(100 * each.difference, row, "o", ms=7, color=colour("blue" if each.holds else "red"), zorder=4)
    _rows(axes, [_named(each.metric.title, each.is_points) for each in found])
    axes.set_xlabel("simulated against recorded (% or points)")
    legend_below(figure, axes)
    return figure


def changes(answer: WhatIf) -> Figure:
    """One row a number, one dot a change."""
    keys = [key for key in _keys(answer) if any(change.effect(key) for change in answer.changes)]
    figure, axes = new_figure(FULL, 1.0 + (0.24 + 0.15 * len(answer.changes)) * len(keys))
    for k, change in enumerate(answer.changes):
        _dots(axes, change, keys, k, len(answer.changes))
    named = [next(effect for change in answer.changes if (effect := change.effect(key))) for key in keys]
    _rows(axes, [_named(effect.metric.title, effect.metric.unit in POINTS) for effect in named])
    axes.set_xlabel("change against the simulated past (% or points)")
    legend_below(figure, axes)
    return figure


def _keys(answer: WhatIf) -> list[str]:
    """The numbers to draw: the usual ones, and what is judged."""
    return list(dict.fromkeys((*SHOWN, *(each.metric.key for each in judged(answer)))))


def _dots(axes: Any, change: Change, keys: Sequence[str], k: int, n: int) -> None:
    paint, labels = colour(MODEL_COLOURS[k % len(MODEL_COLOURS)]), [shorten(change.name)]
    for row, key in enumerate(keys):
        effect = change.effect(key)
        value = None if effect is None else _drawn(effect)
        if value is None:
            continue
        y = row + (k - (n - 1) / 2) * 0.6 / n
        if math.isfinite(value.low):
            axes.plot([100 * value.low, 100 * value.high], [y, y], color=paint, lw=2, zorder=3)
        face = paint if value.excludes_zero and math.isfinite(value.low) else colour("surface")
        axes.plot(100 * value.mean, y, "o", ms=6, color=paint, markerfacecolor=face, zorder=4,
                  label=labels.pop() if labels else None)


def _drawn(effect: Effect) -> Interval | None:
    """As a fraction: of one for shares, of the simulated past else."""
    if effect.metric.unit not in POINTS:
        return effect.relative
    scale = 1.0 if effect.metric.unit == "ratio" else 0.01
    value = effect.difference
    return Interval(value.mean * scale, value.low * scale, value.high * scale, value.n)


def _named(title: str, is_points: bool) -> str:
    return shorten(f"{title} ({'points' if is_points else '%'})", 60)


def _rows(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.axvline(0, color=colour("muted"), lw=1, zorder=1)
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")
