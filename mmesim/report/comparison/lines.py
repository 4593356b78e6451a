"""Figures with a line for each variant: the tail of latency, hit ratio over memory, churn over time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmesim.core.types import Tier
from mmesim.report.comparison.looks import Look, others
from mmesim.report.figures import latency_scale
from mmesim.report.intervals import arms
from mmesim.report.theme import FULL, colour, new_figure
from mmesim.report.timeline import unit_of
from mmesim.report.wording import format_bytes, number
from mmesim.results.comparison import Comparison
from mmesim.results.sketch import EDGES_NS
from mmesim.units import NS_PER_MS, parse_duration_s

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

PER_OCTAVE = 16
"""Points of a tail in each doubling of latency."""
QUANTILES = {"latency.all.p50": 0.5, "latency.all.p90": 0.1, "latency.all.p99": 0.01, "latency.all.p99_9": 0.001}
"""Metric, and the share that is slower."""
EXCEEDED = {1.0: "all", 0.1: "10 %", 0.01: "1 %", 1e-3: "0.1 %", 1e-4: "0.01 %", 1e-5: "0.001 %"}
PARTS = (("all answers", slice(None), 1.5), ("hits alone", slice(Tier.GPU, Tier.GPU + 1), 1.0),
         ("cold starts alone", slice(Tier.DISK, None), 1.0))
"""Title, tiers and relative width of a panel."""
MOST_ROWS = 240


def tails(comparison: Comparison, looks: dict[str, Look]) -> Figure:
    """Share of all answers slower than x: altogether, and apart for hits and cold starts, where there are any, which
    add up to it."""
    parts = [(title, tiers, width) for title, tiers, width in PARTS
             if any(variant.sketch[tiers].any() for variant in comparison.variants)]
    figure, (panels,) = new_figure(FULL, 4.4, ncols=len(parts), sharey=True, squeeze=False,
                                   width_ratios=[width for *_, width in parts])
    answers = max(int(variant.sketch.sum()) for variant in comparison.variants)
    for axes, (title, tiers, _) in zip(panels, parts, strict=True):
        for variant in reversed(comparison.variants):
            _tail(axes, variant.sketch[tiers].sum(axis=0), int(variant.sketch.sum()), looks[variant.name])
        axes.set_title(title, color=colour("ink"))
        axes.set_yscale("log")
        axes.set_ylim(max(1e-5, 1 / max(1, answers)), 1.25)
        axes.autoscale_view(scaley=False)
        latency_scale(axes.xaxis, axes)
    _quantiles(panels[0], comparison, looks)
    low = panels[0].get_ylim()[0]
    panels[0].set_yticks([at for at in EXCEEDED if at >= low], labels=[EXCEEDED[at] for at in EXCEEDED if at >= low])
    panels[0].minorticks_off()
    panels[0].set_ylabel("share of all answers that are slower")
    key(figure, (looks[variant.name] for variant in comparison.variants))
    return figure


def _tail(axes: Any, counts: NDArray[np.int64], answers: int, look: Look) -> None:
    used = np.flatnonzero(counts)
    if not len(used):
        return
    slower = (int(counts.sum()) - np.cumsum(counts)) / answers
    kept = np.arange(max(used[0] - 1, 0), used[-1] + 1)
    kept = kept[(kept % (64 // PER_OCTAVE) == 0) | (kept == used[-1] - 1)]
    draw(axes, EDGES_NS[1:][kept] / NS_PER_MS, slower[kept], look)


def _quantiles(axes: Any, comparison: Comparison, looks: dict[str, Look]) -> None:
    """Quantiles with their intervals, on the curves of those that stand out."""
    for variant in comparison.variants:
        look = looks[variant.name]
        for metric, slower in QUANTILES.items() if look.drawn else ():
            value = variant.values.get(metric)
            if value is not None and slower > axes.get_ylim()[0]:
                axes.errorbar(value.mean, slower, xerr=arms(value), marker=look.marker, ms=4, lw=1, capsize=2, zorder=4,
                              color=colour(look.colour))


def memory_curve(comparison: Comparison, looks: dict[str, Look]) -> Figure:
    """Hit ratio over memory: what more memory would bring, and how much of it a better policy brings for nothing."""
    figure, axes = new_figure(FULL, 4.2)
    curve = comparison.curve
    for name in reversed(list(looks)):
        rows, look = curve[curve["variant"] == name].sort_values("memory_fraction"), looks[name]
        if look.drawn and np.isfinite(rows["low"]).all():
            axes.fill_between(rows["memory_fraction"], 100 * rows["low"], 100 * rows["high"], lw=0, alpha=0.16,
                              color=colour(look.colour))
        draw(axes, rows["memory_fraction"], 100 * rows["hit_ratio"], look, marker=look.marker if look.drawn else "")
    axes.axvline(1, color=colour("muted"), lw=0.9, ls=(0, (1, 2)))
    axes.annotate("as in the scenario", (1, 0), (4, 4), xycoords=("data", "axes fraction"), textcoords="offset points",
                  fontsize=8, color=colour("muted"))
    axes.set_xscale("log", base=2)
    sizes = curve.drop_duplicates("memory_fraction").sort_values("memory_fraction")
    axes.set_xticks(sizes["memory_fraction"], labels=[
        f"{number(row.memory_fraction)} ×\n{format_bytes(row.memory_bytes)}" for row in sizes.itertuples()])
    axes.minorticks_off()
    axes.set_xlabel("memory of one instance")
    axes.set_ylabel("hit ratio (%)")
    key(figure, (looks[name] for name in looks if (curve["variant"] == name).any()))
    return figure


def over_time(comparison: Comparison, looks: dict[str, Look]) -> Figure:
    """Hit ratio, p99, loads, unloads and instances over simulated time, of those that stand out."""
    panels = _panels(comparison.series)
    figure, rows = new_figure(FULL, 0.9 + 1.35 * len(panels), nrows=len(panels), sharex=True, squeeze=False)
    end_s = float((comparison.series["t_s"] + comparison.series["interval_s"]).max())
    unit_s, unit = unit_of(end_s)
    shown = [looks[variant.name] for variant in comparison.variants if looks[variant.name].drawn]
    for look in reversed(shown):
        table = thinned(comparison.series[comparison.series["variant"] == look.name])
        for axes, (_, column) in zip(rows[:, 0], panels, strict=True):
            draw(axes, (table["t_s"] + table["interval_s"] / 2) / unit_s, column(table), look)
    for axes, (title, _) in zip(rows[:, 0], panels, strict=True):
        axes.set_title(title, color=colour("ink"))
        axes.margins(y=0.12)
        _warmup(axes, comparison, unit_s)
        if "latency" in title:
            latency_scale(axes.yaxis, axes)
        elif "hit" not in title:
            axes.set_ylim(bottom=0)
    rows[-1, 0].set_xlim(0, end_s / unit_s)
    rows[-1, 0].set_xlabel(f"simulated time ({unit})")
    key(figure, shown)
    return figure


def _panels(series: DataFrame) -> list[tuple[str, Any]]:
    """(title, values of a table); instances only when their number changes or differs."""
    panels: list[tuple[str, Any]] = [("hit ratio (%)", lambda table: 100 * table["hit_ratio"])]
    if series["p99_ms"].notna().any():
        panels.append(("p99 latency", lambda table: table["p99_ms"]))
    panels += [(f"{name} per minute", lambda table, name=name: 60 * table[name] / table["interval_s"])
               for name in ("loads", "unloads")]
    if series["instances"].nunique() > 1:
        panels.append(("instances", lambda table: table["instances"]))
    return panels


def thinned(table: DataFrame, most: int = MOST_ROWS) -> DataFrame:
    """At most so many rows: counts added up, the slowest p99, the rest averaged."""
    if len(table) <= most:
        return table
    group = np.arange(len(table)) // -(-len(table) // most)
    weight = table["invocations"].where(table["hit_ratio"].notna(), 0)
    table = table.assign(hits=table["hit_ratio"].fillna(0) * weight, known=weight)
    merged = table.groupby(group).agg({
        "t_s": "first", "interval_s": "sum", "invocations": "sum", "hits": "sum", "known": "sum", "loads": "sum",
        "unloads": "sum", "instances": "mean", "p99_ms": "max"})
    return merged.assign(hit_ratio=merged["hits"] / merged["known"].where(merged["known"] > 0))


def _warmup(axes: Any, comparison: Comparison, unit_s: float) -> None:
    warmup = comparison.scenario.get("warmup", 0.0)
    warmup_s = parse_duration_s(warmup) if isinstance(warmup, str) else float(warmup)
    if warmup_s > float(comparison.series["t_s"].min()):
        axes.axvspan(0, warmup_s / unit_s, color=colour("shade"), lw=0, zorder=0)


# ---- what all of them share


def draw(axes: Any, x: Any, y: Any, look: Look, marker: str = "") -> None:
    """One line in the manner of its variant; those behind are drawn first."""
    axes.plot(x, y, color=colour(look.colour), ls=look.line_style, lw=look.width, marker=marker, ms=4.5,
              alpha=1.0 if look.drawn else 0.45, zorder=3 if look.drawn else 2)


def key(figure: Figure, shown: Iterable[Look]) -> None:
    """What the lines mean, under the figure; one entry for all that are behind."""
    from matplotlib.lines import Line2D

    shown = list(shown)
    handles = [Line2D([], [], color=colour(look.colour), ls=look.line_style, lw=look.width, marker=look.marker, ms=4.5,
                      label=look.short) for look in shown if look.drawn]
    if behind := others(shown):
        handles.append(Line2D([], [], color=colour("grey"), lw=0.8, alpha=0.6, label=f"{behind} others"))
    columns = 4 if max(len(look.short) for look in shown) < 24 else 3
    figure.legend(handles=handles, loc="outside lower left", ncols=columns, fontsize=8, handlelength=3.2)

