"""Figures of requests: traffic, latency over time and its distribution, where time goes, hits and cold starts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmesim.core.types import Tier
from mmesim.dataplane.counters import SKETCH_BUCKETS, Reason
from mmesim.report.theme import FULL, HALF, colour, legend_below, new_figure, to_svg
from mmesim.report.timeline import Timeline, coarse, label_ends
from mmesim.report.wording import FAILURES, format_count, format_duration
from mmesim.results.sketch import EDGES_NS
from mmesim.results.unmeasured import Part, measured

if TYPE_CHECKING:
    from mmesim.results.run import Run

TIERS = ((Tier.GPU, "hit", "blue"), (Tier.DISK, "cold, from disk", "amber"), (Tier.S3, "cold, from S3", "red"))
PARTS = (
    ("waiting for models", "amber", (Reason.DOWNLOAD, Reason.EXTRACT, Reason.ROOM, Reason.LOAD, Reason.STALL)),
    ("queueing", "purple", (Reason.QUEUE, Reason.BATCH_WAIT, Reason.CONTENTION)),
    ("compute", "blue", (Reason.COMPUTE,)), ("host CPU", "teal", (Reason.HOST_CPU,)),
    ("network and front end", "pale", (Reason.FRONTEND, Reason.OVERHEAD)))
"""What the reasons come down to, and its colour."""
_EXCEEDED = {0.5: "p50", 0.1: "p90", 0.01: "p99", 0.001: "p99.9", 1e-4: "p99.99"}
LIVE_PARTS = (("waiting for models", "amber", (Reason.LOAD,)), ("at the server", "blue", (Reason.COMPUTE,)),
              ("network, gateway and this client", "pale", (Reason.OVERHEAD,)))
"""The same of a live run, whose servers do not tell more."""
LEAST_SPREAD = 1.5
"""Of a scale: the largest over the smallest."""
COLOUR_OF_REASON = {reason: name for _, name, reasons in PARTS for reason in reasons}


def traffic(run: Run, time: Timeline) -> str:
    """Requests per second, and failures by kind."""
    rows = coarse(run.metrics)
    length_s = (rows["end_s"] - rows["start_s"]).to_numpy()
    kinds = [name for name in FAILURES if rows[name].sum()]
    figure, (top, bottom) = new_figure(HALF, 3.2, nrows=2, sharex=True, height_ratios=(2, 1))
    edges = _edges(rows, time)
    top.stairs(rows["Invocations"] / length_s, edges, color=colour("blue"), lw=1.4, baseline=None)
    top.set_ylim(0)
    top.set_ylabel("requests/s")
    below = np.zeros(len(rows))
    for name, shade in zip(kinds, ("red", "amber", "purple", "pink", "brown", "navy", "grey"), strict=False):
        level = rows[name].to_numpy() / length_s
        bottom.stairs(below + level, edges, baseline=below, fill=True, color=colour(shade), label=FAILURES[name])
        below = below + level
    bottom.set_ylim(0, max(below.max() * 1.1, 1e-9) if kinds else 1)
    bottom.set_ylabel("failures/s")
    legend_below(figure, bottom)
    if not kinds:
        bottom.set_yticks([])
        bottom.text(0.5, 0.4, "no request failed", transform=bottom.transAxes, ha="center", color=colour("muted"))
    _finish(time, top, bottom)
    return to_svg(figure, f"Requests and failures per second over {time.clock}")


def latency(run: Run, time: Timeline) -> str:
    """Quantiles of latency over time."""
    rows = coarse(run.metrics)
    figure, axes = new_figure(FULL, 3.3)
    middles = time.x((rows["start_s"] + rows["end_s"]) / 2)
    ends = []
    for name, label, shade in (("p50", "p50", "blue"), ("p90", "p90", "teal"), ("p99", "p99", "purple"),
                               ("p99_9", "p99.9", "red")):
        values = rows[f"latency_{name}_ms"].to_numpy()
        axes.plot(middles, values, color=colour(shade), lw=1.5)
        known = values[np.isfinite(values)]
        if len(known):
            ends.append((known[-1], label, shade))
    latency_scale(axes.yaxis, axes)
    target = run.summary["objective"]["targets"].get("p99_ms")
    if target:
        axes.axhline(target["target"], color=colour("ink"), lw=0.9, ls=(0, (4, 3)))
        ends.append((target["target"], "p99 objective", "ink"))
    label_ends(axes, ends)
    _finish(time, axes)
    return to_svg(figure, f"Latency quantiles over {time.clock}")


def distribution(run: Run) -> str:
    """Histogram of latency by tier, on logarithmic scales."""
    counts = sketch_of(run)
    figure, axes = new_figure(HALF, 3.2)
    edges_ms, merged = _octave_bins(counts)
    below = np.zeros(merged.shape[1])
    tiers = TIERS if measured(run.summary, Part.CACHE) else ((Tier.GPU, "all answers", "blue"),)
    for tier, label, shade in tiers:
        if merged[tier].any():
            axes.stairs(merged[tier], edges_ms, fill=True, color=colour(shade), alpha=0.25, baseline=0.5)
            axes.stairs(merged[tier], edges_ms, color=colour(shade), lw=1.4, label=label, baseline=0.5)
            below = np.maximum(below, merged[tier])
    axes.set_yscale("log")
    axes.set_ylim(0.5, max(below.max() * 2, 10))
    axes.yaxis.set_major_formatter(lambda value, _: format_count(value))
    axes.set_ylabel("answers")
    _mark_quantiles(run, axes)
    axes.set_xlim(*_span(edges_ms, merged.sum(axis=0)))
    latency_scale(axes.xaxis, axes)
    legend_below(figure, axes)
    return to_svg(figure, "Distribution of latency by where the model was")


def exceedance(run: Run) -> str:
    """Share of requests slower than x; failures count as slower than anything."""
    counts = sketch_of(run)
    failed = run.summary["requests"]["failed"]
    figure, axes = new_figure(HALF, 3.2)
    curves = (("all, failures as never answered", counts.sum(axis=0), failed, "ink"),
              ("hits", counts[Tier.GPU], 0, "blue"), ("cold starts", counts[Tier.DISK:].sum(axis=0), 0, "amber"))
    for label, sketch, never, shade in curves if measured(run.summary, Part.CACHE) else curves[:1]:
        total = int(sketch.sum()) + never
        if total:
            slower = (total - np.cumsum(sketch)) / total
            used = np.flatnonzero(sketch)
            kept = slice(max(used[0] - 1, 0), used[-1] + 1) if len(used) else slice(0, 0)
            axes.plot(EDGES_NS[1:][kept] / 1e6, slower[kept], color=colour(shade), label=label)
    everything = counts.sum(axis=0)
    axes.set_xlim(*_span(EDGES_NS / 1e6, everything))
    latency_scale(axes.xaxis, axes)
    axes.set_yscale("log")
    axes.set_ylim(max(1e-5, 0.5 / max(1, int(everything.sum()))), 1.3)
    ticks = {share: name for share, name in _EXCEEDED.items() if share > axes.get_ylim()[0]}
    axes.set_yticks(list(ticks), labels=list(ticks.values()))
    axes.minorticks_off()
    legend_below(figure, axes)
    return to_svg(figure, "Share of requests slower than a given latency")


def where_time_goes(run: Run, time: Timeline) -> str:
    """Mean time of an answered request by what it was spent on."""
    rows = coarse(run.metrics)
    figure, axes = new_figure(HALF, 3.2)
    edges, below = _edges(rows, time), np.zeros(len(rows))
    parts = PARTS if measured(run.summary, Part.TIME_WITHIN) else LIVE_PARTS
    for label, shade, reasons in reversed(parts):
        level = sum(rows[f"time_{reason.name.lower()}_ms"].fillna(0.0).to_numpy() for reason in reasons)
        axes.stairs(below + level, edges, baseline=below, fill=True, color=colour(shade), label=label)
        below = below + level
    _measured_scale(axes, below, rows["warmup"].to_numpy())
    axes.yaxis.set_major_formatter(lambda value, _: format_duration(value / 1e3) if value else "0")
    legend_below(figure, axes, reverse=True)
    _finish(time, axes)
    return to_svg(figure, f"Mean time of a request by what it was spent on, over {time.clock}")


def cache(run: Run, time: Timeline) -> str:
    """Hit ratio, and cold starts by tier."""
    rows = coarse(run.metrics)
    minutes = (rows["end_s"] - rows["start_s"]).to_numpy() / 60
    figure, (top, bottom) = new_figure(HALF, 3.2, nrows=2, sharex=True, height_ratios=(1, 1))
    edges = _edges(rows, time)
    ratio = 100 * rows["ModelCacheHit"].to_numpy()
    top.stairs(ratio, edges, color=colour("blue"), lw=1.4, baseline=None)
    known = ratio[np.isfinite(ratio)]
    top.set_ylim(max(0.0, known.min() - 5) if len(known) else 0, 101)
    top.set_ylabel("hit ratio (%)")
    below = np.zeros(len(rows))
    failed = rows["model_not_ready"] + rows["load_failed"]
    for label, counts, shade in (("from disk", rows["cold_from_disk"], "amber"),
                                 ("from S3", rows["cold_from_s3"], "red"), ("failed waiting", failed, "purple")):
        level = counts.to_numpy() / minutes
        if level.any():
            bottom.stairs(below + level, edges, baseline=below, fill=True, color=colour(shade), label=label)
            below = below + level
    bottom.set_ylim(0, max(below.max() * 1.1, 1))
    bottom.set_ylabel("cold starts/min")
    legend_below(figure, bottom)
    _finish(time, top, bottom)
    return to_svg(figure, f"Hit ratio and cold starts by tier over {time.clock}")


def moves(run: Run, time: Timeline) -> str:
    """Loads and evictions per minute, and which loads were a waste."""
    rows = coarse(run.metrics)
    minutes = (rows["end_s"] - rows["start_s"]).to_numpy() / 60
    figure, axes = new_figure(HALF, 3.2)
    edges = _edges(rows, time)
    loads = (rows["loads_from_disk"] + rows["loads_from_s3"]).to_numpy() / minutes
    axes.stairs(loads, edges, fill=True, color=colour("pale"), label="loads")
    axes.stairs(rows["reloads"].to_numpy() / minutes, edges, fill=True, color=colour("red"), alpha=0.8,
                label="of them reloads")
    axes.stairs(rows["evictions"].to_numpy() / minutes, edges, color=colour("ink"), lw=1.2, baseline=None,
                label="evictions")
    axes.set_ylim(0, max(loads.max() * 1.1, 1))
    axes.set_ylabel("per minute")
    legend_below(figure, axes)
    _finish(time, axes)
    return to_svg(figure, f"Loads, reloads and evictions per minute over {time.clock}")


# ---- helpers


def sketch_of(run: Run) -> NDArray[np.int64]:
    """(tiers, buckets) of the measured time."""
    stored = run.details["latency_sketch"]
    counts = np.zeros((len(Tier), SKETCH_BUCKETS), np.int64)
    counts[:, stored["bucket"]] = stored["count_by_tier"]
    return counts


def _octave_bins(counts: NDArray[np.int64], per_octave: int = 8) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Edges in ms and counts of coarser bins, `per_octave` in each doubling."""
    step = 64 // per_octave
    starts = np.arange(64, SKETCH_BUCKETS, step)
    return EDGES_NS[[*starts, SKETCH_BUCKETS]] / 1e6, np.add.reduceat(counts, starts, axis=1)


def _span(edges_ms: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[float, float]:
    """Limits in ms that show all that was counted, at least a decade."""
    used = np.flatnonzero(counts)
    low, high = (edges_ms[used[0]], edges_ms[min(used[-1] + 1, len(edges_ms) - 1)]) if len(used) else (1.0, 10.0)
    low, high = max(low * 0.8, 1e-2), high * 1.25
    return (low, high) if high / low > 10 else ((low * high / 10) ** 0.5, (low * high * 10) ** 0.5)


def latency_scale(axis: Any, axes: Any) -> None:
    """A logarithmic axis of milliseconds, labelled 1 ms, 10 ms, 1 s …"""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    (axes.set_yscale if axis.axis_name == "y" else axes.set_xscale)("log")
    low, high = axis.get_view_interval()
    spread = high / max(low, 1e-9)
    subs = (1.0,) if spread > 30 else (1.0, 2.0, 5.0) if spread > 5 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: format_duration(value / 1e3)))
    axis.set_minor_formatter(NullFormatter())


def latency_limits(axes: Any, values_ms: Iterable[float]) -> None:
    """A logarithmic scale upwards with all the values on it, never so narrow that all its marks read the same."""
    shown = [value for value in values_ms if math.isfinite(value) and value > 0]
    low, high = min(shown) / 1.06, max(shown) * 1.06
    spread = max(high / low, LEAST_SPREAD) / (high / low)
    axes.set_ylim(low / spread ** 0.5, high * spread ** 0.5)
    latency_scale(axes.yaxis, axes)


def _mark_quantiles(run: Run, axes: Any) -> None:
    for name, lower in (("p50", 8), ("p99", 19)):
        value = run.summary["latency"]["all"][name]
        if value is not None:
            axes.axvline(value, color=colour("ink"), lw=0.9, ls=(0, (1, 2)))
            axes.annotate(f"{name} {format_duration(value / 1e3)}", (value, 1), (3, -lower), fontsize=8,
                          xycoords=("data", "axes fraction"), textcoords="offset points")


def _measured_scale(axes: Any, values_ms: NDArray[np.float64], warmup: NDArray[np.bool_]) -> None:
    """A scale for the measured time; what stands out of it in the warm-up is cut off, and says how high it is."""
    most = float(values_ms[~warmup].max(initial=0.0)) or float(values_ms.max())
    cut = float(values_ms[warmup].max(initial=0.0))
    if cut > 3 * most:
        axes.annotate(f"up to {format_duration(cut / 1e3)}", (0, 1), (3, -8), xycoords="axes fraction", fontsize=7.5,
                      textcoords="offset points", color=colour("ink"))
        axes.set_ylim(0, 1.6 * most)
    else:
        axes.set_ylim(0, max(1.05 * max(most, cut), 1e-6))


def _edges(rows: Any, time: Timeline) -> NDArray[np.float64]:
    return np.append(time.x(rows["start_s"]), time.x(rows["end_s"].to_numpy()[-1]))


def _finish(time: Timeline, *axes: Any) -> None:
    for k, each in enumerate(axes):
        time.draw_on(each, labels=k == 0)
    axes[-1].set_xlabel(f"{time.clock} ({time.unit})")

