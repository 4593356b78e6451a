"""Cost against latency: every whole option a point, the front of those that no other beats, the objective's limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmesim.report.figures import latency_limits
from mmesim.report.intervals import arms
from mmesim.report.plan.looks import LOOKS
from mmesim.report.plan.words import amount, dollars, front_is_ms, front_limit, front_title, roles
from mmesim.report.theme import FULL, colour, new_figure, shorten
from mmesim.report.wording import number, percent
from mmesim.results.comparison import Interval
from mmesim.results.plan import Option, Plan

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

INSTANCES = "instances.mean"
WIDE = 12.0
"""Largest over smallest cost from which on the axis is logarithmic."""
AROUND = ((9, 9, "left"), (-9, 9, "right"), (9, -15, "left"), (-9, -15, "right"), (12, 26, "left"), (-12, 26, "right"),
          (12, -32, "left"), (-12, -32, "right"), (14, 44, "left"), (-14, 44, "right"), (14, -50, "left"),
          (-14, -50, "right"))
"""Where a label may stand, in points from its dot, first the nearest."""
ENOUGH_OPTIONS = 2


@dataclass(frozen=True)
class Point:
    """An option in the figure."""

    option: Option
    x: Interval
    y: Interval


def points(plan: Plan) -> list[Point]:
    """The whole options that have both numbers."""
    made = ((each, _price(plan, each), each.values.get(plan.front)) for each in plan.options if each.is_whole)
    found = [Point(each, x, y) for each, x, y in made if x is not None and y is not None]
    usable = [each for each in found if math.isfinite(each.y.mean) and (each.y.mean > 0 or not front_is_ms(plan))]
    return usable


def is_priced(plan: Plan) -> bool:
    """Whether the horizontal axis is the cost; else it is the number of instances."""
    return any(each.is_whole and each.cost_per_month is not None for each in plan.options)


def _price(plan: Plan, option: Option) -> Interval | None:
    return option.cost_per_month if is_priced(plan) else option.values.get(INSTANCES)


def can_be_drawn(plan: Plan) -> bool:
    """A single point says nothing that the table does not."""
    return len(points(plan)) >= ENOUGH_OPTIONS


def cost_and_latency(plan: Plan) -> Figure:
    """The scatter, with the answer's options named."""
    drawn, limit, unit = points(plan), front_limit(plan), "ms" if front_is_ms(plan) else "ratio"
    figure, axes = new_figure(FULL, 4.9)
    _front_line(axes, plan, drawn)
    for point in reversed(drawn):
        _dot(axes, point)
    _vertical(axes, plan, drawn, limit)
    _horizontal(axes, plan, drawn)
    line = [] if limit is None else _limit_line(axes, limit, f"limit {amount(limit, unit)}")
    axes.grid(True, axis="both")
    _legend(figure, drawn)
    _name(figure, axes, plan, drawn, line)
    return figure


def _front_line(axes: Any, plan: Plan, drawn: Sequence[Point]) -> None:
    at = {point.option.name: (point.x.mean, point.y.mean) for point in drawn}
    line = [at[name] for name in plan.pareto if name in at]
    axes.plot([x for x, _ in line], [y for _, y in line], lw=6, color=colour("pale"), alpha=0.55, zorder=1,
              solid_joinstyle="round")


def _dot(axes: Any, point: Point) -> None:
    look = LOOKS[point.option.status]
    shade = colour(look.colour)
    axes.errorbar(point.x.mean, point.y.mean, xerr=arms(point.x), yerr=arms(point.y), marker=look.marker, ms=6.5,
                  lw=1.0, color=shade, mew=1.2, mfc=shade if look.is_full else colour("surface"), zorder=3)


def _vertical(axes: Any, plan: Plan, drawn: Sequence[Point], limit: float | None) -> None:
    values = [end for point in drawn for end in (point.y.low, point.y.mean, point.y.high) if math.isfinite(end)]
    values += [] if limit is None else [limit]
    if front_is_ms(plan):
        latency_limits(axes, values)
    else:
        axes.set_ylim(0, 1.08 * max(values) or 1.0)
        axes.yaxis.set_major_formatter(lambda value, _: percent(value))
    axes.set_ylabel(front_title(plan))


def _horizontal(axes: Any, plan: Plan, drawn: Sequence[Point]) -> None:
    means = [point.x.mean for point in drawn]
    axes.margins(x=0.1)
    if min(means) > 0 and max(means) > WIDE * min(means):
        _by_factors(axes, means)
    elif max(means) - min(means) < 0.02 * max(means):
        axes.set_xlim(min(means) * 0.9, max(means) * 1.1)
    priced = is_priced(plan)
    axes.xaxis.set_major_formatter(lambda value, _: dollars(value) if priced else number(value))
    axes.set_xlabel("cost per month" if priced else "instances in service, mean (no price is known)")


def _by_factors(axes: Any, means: Sequence[float]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.set_xlim(min(means) / 1.3, max(means) * 1.5)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _limit_line(axes: Any, limit: float, text: str) -> list[Any]:
    """The line and what it says."""
    return [axes.axhline(limit, color=colour("ink"), lw=1.1, ls=(0, (5, 3)), zorder=2),
            axes.annotate(text, (1, limit), (-2, 4), xycoords=axes.get_yaxis_transform(), textcoords="offset points",
                          ha="right", fontsize=8.5, color=colour("ink"))]


def _legend(figure: Figure, drawn: Sequence[Point]) -> None:
    from matplotlib.lines import Line2D

    here = {point.option.status for point in drawn}
    handles = [Line2D([], [], ls="", marker=look.marker, ms=6.5, color=colour(look.colour), mew=1.2,
                      mfc=colour(look.colour) if look.is_full else colour("surface"), label=look.word)
               for status, look in LOOKS.items() if status in here]
    handles.append(Line2D([], [], lw=6, color=colour("pale"), alpha=0.55, label="front: no other is better in both"))
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), fontsize=8, handlelength=1.6)


# ---- names


def _name(figure: Figure, axes: Any, plan: Plan, drawn: Sequence[Point], line: Sequence[Any]) -> None:
    """Rings round the answer's options, and their names where they cover nothing."""
    named = [(point, roles(plan)[point.option.name]) for point in drawn if point.option.name in roles(plan)]
    for point, role in named:
        axes.plot(point.x.mean, point.y.mean, "o", ms=14 if role in ("chosen", "nearest") else 11, mfc="none",
                  mec=colour("ink"), mew=1.6 if role in ("chosen", "nearest") else 0.8, zorder=4)
    figure.draw_without_rendering()
    taken = [_box(axes, point) for point in drawn] + [_extent(each).padded(1) for each in line]
    for point, role in named:
        taken.append(_label(axes, point, f"{role}: {shorten(point.option.name, 44)}", role, taken))


def _extent(drawn: Any) -> Bbox:
    """What a line or a text covers, in pixels; of an annotation without its arrow."""
    from matplotlib.text import Text

    box: Bbox = drawn.get_window_extent()  # which also brings an annotation to its place
    return Text.get_window_extent(drawn) if isinstance(drawn, Text) else box


def _box(axes: Any, point: Point) -> Bbox:
    """What a dot covers, in pixels."""
    from matplotlib.transforms import Bbox

    x, y = axes.transData.transform((point.x.mean, point.y.mean))
    return Bbox.from_extents(x - 9, y - 9, x + 9, y + 9)


def _label(axes: Any, point: Point, text: str, role: str, taken: Sequence[Bbox]) -> Bbox:
    """Write it at the first place that is free, or where it covers least; the place."""
    best: tuple[float, Any, Bbox] | None = None  # what it covers, the text, its place
    for dx, dy, side in AROUND:
        label = axes.annotate(
            text, (point.x.mean, point.y.mean), (dx, dy), textcoords="offset points", ha=side, fontsize=8.5,
            color=colour("ink"), weight="bold" if role in ("chosen", "nearest") else "normal", zorder=5,
            arrowprops={"arrowstyle": "-", "color": colour("muted"), "lw": 0.7} if abs(dy) > 15 else None)
        box = _extent(label).padded(3)
        worth = _covered(box, taken) + 4 * _outside(box, axes.bbox)
        if best is None or worth < best[0]:
            if best is not None:
                best[1].remove()
            best = (worth, label, box)
        else:
            label.remove()
        if best[0] == 0:
            break
    assert best is not None
    return best[2]


def _covered(box: Bbox, taken: Sequence[Bbox]) -> float:
    """Area that is covered already, in square pixels."""
    from matplotlib.transforms import Bbox

    common = (Bbox.intersection(box, other) for other in taken)
    return float(sum(each.width * each.height for each in common if each is not None))


def _outside(box: Bbox, axes_box: Bbox) -> float:
    """How much of it is not within the axes."""
    return float(box.width * box.height) - _covered(box, [axes_box])
