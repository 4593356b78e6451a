"""Figures of why: what limits the plan, how far it may grow, how much hangs on what was assumed, what else it costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmesim.report.plan.looks import LOOKS
from mmesim.report.plan.scale import Scale
from mmesim.report.plan.words import dollars, headroom_words
from mmesim.report.theme import FULL, HALF, colour, legend_below, new_figure, shorten
from mmesim.report.wording import number
from mmesim.results.plan import Headroom, Limit, Plan, Swing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_SWINGS = 15
ENDLESS = 1.25
"""A bar that nothing stops is drawn so much longer than the largest factor that was seen."""


def _rows(axes: Any, names: Sequence[str]) -> None:
    """Names at the left, the first on top."""
    axes.set_ylim(len(names) - 0.5, -0.65)
    axes.set_yticks(range(len(names)), labels=[shorten(name) for name in names], color=colour("ink"))


def _mark(axes: Any, x: float, y: float, met: bool | None, hollow: bool = False) -> None:
    """The end of a bar, in the look of its status."""
    look = LOOKS["open" if met is None else "met" if met else "missed"]
    axes.plot(x, y, ls="", marker=look.marker, ms=6.5, color=colour(look.colour), mew=1.2, zorder=4, clip_on=False,
              mfc=colour("surface") if hollow or not look.is_full else colour(look.colour))


# ---- what limits it


def limits(plan: Plan) -> Figure:
    """For each resource, the value of the target as it is and with more of the resource."""
    scale = Scale.of(plan, (each.target for each in plan.limits))
    figure, axes = new_figure(HALF, 1.25 + 0.42 * len(plan.limits))
    ends = [scale.at(each.target, value) for each in plan.limits for value in (each.before, each.after)]
    for k, each in enumerate(plan.limits):
        _relaxed(axes, k, each, scale)
    _rows(axes, [each.resource for each in plan.limits])
    scale.finish(axes, ends, 0.08)
    return figure


def _relaxed(axes: Any, row: int, each: Limit, scale: Scale) -> None:
    before, after = scale.at(each.target, each.before), scale.at(each.target, each.after)
    if before is not None and after is not None:
        axes.plot((before, after), (row, row), color=colour("teal" if each.binds else "grey"), lw=2.4, zorder=3)
    if before is not None:
        axes.plot(before, row, "o", ms=5, color=colour("muted"), mfc=colour("surface"), zorder=4)
    if after is not None:
        _mark(axes, after, row, each.binds)


# ---- headroom


def headroom(plan: Plan) -> Figure:
    """For each kind of growth, the factor that holds and the one that fails."""
    figure, axes = new_figure(FULL, 0.95 + 0.6 * len(plan.headroom))
    seen = max((each.fails or ENDLESS * each.holds for each in plan.headroom), default=1.0)
    for k, each in enumerate(plan.headroom):
        _growth(axes, k, each, seen)
    _rows(axes, [each.what for each in plan.headroom])
    axes.set_xlim(1 - 0.03 * (seen - 1), seen + 0.08 * (seen - 1))
    axes.locator_params(axis="x", nbins=6)
    axes.xaxis.set_major_formatter(lambda value, _: f"{number(value)} ×")
    axes.set_xlabel("growth, as a multiple of what is planned for")
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")
    return figure


def _growth(axes: Any, row: int, each: Headroom, seen: float) -> None:
    axes.barh(row, each.holds - 1, left=1, height=0.34, color=colour("teal"), zorder=2)
    if each.fails is None:
        axes.barh(row, seen - each.holds, left=each.holds, height=0.34, color=colour("teal"), alpha=0.25, zorder=2)
    else:
        axes.barh(row, each.fails - each.holds, left=each.holds, height=0.34, color=colour("pale"), hatch="////",
                  edgecolor=colour("surface"), lw=0, zorder=2)
        _mark(axes, each.fails, row, False)
    _mark(axes, each.holds, row, True)
    axes.annotate(shorten(headroom_words(each), 120), (0, row), (2, 13), xycoords=axes.get_yaxis_transform(),
                  textcoords="offset points", fontsize=8, color=colour("muted"))


# ---- assumed settings


def tornado(plan: Plan) -> Figure:
    """Two bars a setting, at either end of its range, from the value as planned."""
    shown = plan.swings[:MOST_SWINGS]
    scale = Scale.of(plan, (each.target for each in shown))
    figure, axes = new_figure(FULL, 1.1 + 0.5 * len(shown))
    ends = [scale.at(each.target, value) for each in shown for value in (each.value, each.value_low, each.value_high)]
    for k, each in enumerate(shown):
        _end(axes, k - 0.19, each, "low", scale)
        _end(axes, k + 0.19, each, "high", scale)
        _as_planned(axes, k, scale.at(each.target, each.value))
    _rows(axes, [each.setting for each in shown])
    for label, shade in (("at the low end", "blue"), ("at the high end", "amber")):
        axes.barh(0, 0, color=colour(shade), label=label)
    axes.plot([], [], color=colour("ink"), lw=1.6, label="as planned")
    scale.finish(axes, ends, 0.32)
    legend_below(figure, axes)
    return figure


def _as_planned(axes: Any, row: int, value: float | None) -> None:
    if value is not None:
        axes.plot((value, value), (row - 0.4, row + 0.4), color=colour("ink"), lw=1.6, zorder=4, solid_capstyle="butt")


def _end(axes: Any, y: float, each: Swing, side: str, scale: Scale) -> None:
    """One end of the range: the bar to its value, whether the plan does there, and what the setting is."""
    planned = scale.at(each.target, each.value)
    value, met, written = ((each.value_low, each.met_low, each.low) if side == "low" else
                           (each.value_high, each.met_high, each.high))
    at, written = scale.at(each.target, value), shorten(written, 24)
    if at is None or planned is None:
        found = [place for place in (at, planned) if place is not None]
        if found:
            _beside(axes, found[0], y, f"{written}: no value")
        return
    axes.barh(y, at - planned, left=planned, height=0.3, color=colour("blue" if side == "low" else "amber"), zorder=2)
    _mark(axes, at, y, met)
    fails = " – fails" if met is False else ""
    _beside(axes, max(at, planned), y, f"{written}: {scale.text(at)}{fails}")


def _beside(axes: Any, x: float, y: float, text: str) -> None:
    axes.annotate(text, (x, y), (8, 0), textcoords="offset points", va="center", fontsize=8, color=colour("ink"),
                  bbox={"facecolor": colour("surface"), "lw": 0, "pad": 1.0, "alpha": 0.85}, zorder=5)


# ---- other endpoints


def alternatives(plan: Plan) -> Figure:
    """What the same would cost elsewhere; hatched: by arithmetic alone."""
    rows = priced_alternatives(plan)
    figure, axes = new_figure(FULL, 1.05 + 0.36 * len(rows))
    for k, (_, cost, simulated) in enumerate(rows):
        axes.barh(k, cost, height=0.56, color=colour("teal" if k == 0 else "blue"), hatch="" if simulated else "////",
                  edgecolor=colour("surface"), lw=0, zorder=2)
        _beside(axes, cost, k, dollars(cost))
    axes.barh(0, 0, color=colour("grey"), label="simulated")
    axes.barh(0, 0, color=colour("grey"), hatch="////", edgecolor=colour("surface"), lw=0, label="by arithmetic")
    _rows(axes, [name for name, *_ in rows])
    axes.set_xlim(0, 1.14 * max(cost for _, cost, _ in rows))
    axes.locator_params(axis="x", nbins=6)
    axes.xaxis.set_major_formatter(lambda value, _: dollars(value))
    axes.set_xlabel("cost per month")
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")
    legend_below(figure, axes)
    return figure


def priced_alternatives(plan: Plan) -> list[tuple[str, float, bool]]:
    """(name, cost per month, simulated): the plan, then each alternative that is possible and has a price."""
    cost = plan.chosen.cost_per_month if plan.chosen else None
    own = [("this plan", cost.mean, True)] if cost else []
    return own + [(each.kind, each.cost_per_month, each.is_simulated) for each in plan.alternatives
                  if each.possible and each.cost_per_month is not None]
