"""A trace drawn: its rate and its models over time, popularity, gaps, LRU hit ratio, the day; and a fit beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mmesim.report.printed import INK, printed
from mmesim.units import NS_PER_S, format_count, format_duration
from mmesim.workload.analysis.description import Description, first_asked_s, hours_of_day
from mmesim.workload.analysis.fit import Fit
from mmesim.workload.analysis.independent import che_hit_ratios
from mmesim.workload.analysis.measures import per_interval
from mmesim.workload.analysis.recorded import Recorded

BINS = 240
"""Intervals of the axis of time."""
ROWS = 40
"""Models drawn over time, the most requested."""
POINTS = 400
"""Points of a curve."""


def draw_trace(requests: Recorded, described: Description, path: Path, title: str) -> None:
    """Write the figure. Raises InputError on a suffix that is no kind of figure."""
    rate = f", {described.mean_rate_rps:.3g}/s" if described.span_s else ""
    with printed(path, 11.5, 8.6) as figure:
        figure.suptitle(f"{title}: {format_count(len(requests))} requests to {format_count(described.models)} models "
                        f"in {format_duration(described.span_s)}{rate}", x=0.01, ha="left")
        top, bottom = figure.subfigures(2, 1, height_ratios=(2, 1.35))
        _over_time(*top.subplots(2, 1, sharex=True, height_ratios=(0.8, 1.2)), requests)
        known = [panel for panel, there in ((_gaps, np.isfinite(described.cv_of_gaps)),
                                            (_day, np.isfinite(described.peak_hour)), (_seen, True)) if there][:2]
        popularity, hits, *others = bottom.subplots(1, 2 + len(known))
        _popularity(popularity, requests, described)
        _hits(hits, requests, described)
        for panel, axes in zip(known, others, strict=True):
            panel(axes, requests)


def draw_fit(fitted: Fit, path: Path, title: str) -> None:
    """A trace and its synthetic workload, one above the other. Raises InputError on a suffix that is no figure."""
    real, made = fitted.real, fitted.made
    with printed(path, 11.5, 6.4) as figure:
        figure.suptitle(f"{title}: the trace, and requests of the workload fitted to it", x=0.01, ha="left")
        left, right = figure.subfigures(1, 2, width_ratios=(2, 1))
        above, below = left.subplots(2, 1, sharex=True, sharey=True)
        unit_s, unit = _unit(real.span_s)
        for axes, requests, name in ((above, real, "trace"), (below, made, "synthetic")):
            _rate(axes, requests, _edges(requests, unit_s))
            axes.set_title(f"{name}: {axes.get_title(loc='left')}", fontsize=9)
        below.set_xlabel(unit, loc="right")
        popularity, hits = right.subplots(2, 1)
        _ranks(popularity, fitted)
        _curves(hits, fitted)


def _ranks(axes: Any, fitted: Fit) -> None:
    for requests, shade, name in ((fitted.real, "blue", "trace"), (fitted.made, "amber", "synthetic")):
        ranked = np.sort(requests.counts[requests.counts > 0])[::-1]
        axes.loglog(np.arange(1, len(ranked) + 1), ranked, "o", ms=3, color=INK[shade], label=name)
    axes.set_title("requests by rank of the model", fontsize=9)
    axes.legend(frameon=False, fontsize=7.5, loc="lower left")


def _curves(axes: Any, fitted: Fit) -> None:
    sizes = _some(fitted.trace.models)
    for figures, shade, name in ((fitted.trace, "blue", "trace"), (fitted.synthetic, "amber", "synthetic")):
        axes.plot(sizes, [100 * figures.hit_ratio(int(size)) for size in sizes], color=INK[shade], label=name)
    if held := fitted.held_out:
        axes.plot(held.sizes, 100 * np.array(held.trace), "o", ms=4, color=INK["blue"], label="last third")
        axes.plot(held.sizes, 100 * np.array(held.fitted), "x", ms=5, color=INK["amber"], label="… as foreseen")
    axes.plot(sizes, 100 * che_hit_ratios(fitted.real.counts, sizes), color=INK["grey"], lw=1.2, ls="--",
              label="independent draws")
    _hit_axes(axes)


def _over_time(rate: Any, models: Any, requests: Recorded) -> None:
    unit_s, unit = _unit(requests.span_s)
    edges = _edges(requests, unit_s)
    _rate(rate, requests, edges)
    mesh = _models(models, requests, edges)
    models.set_xlabel(f"{unit} of the trace", loc="right")
    models.figure.colorbar(mesh, ax=[rate, models], pad=0.01, aspect=30).outline.set_visible(False)


def _unit(span_s: float) -> tuple[float, str]:
    """The unit of the axis of time."""
    return next(((length_s, name) for length_s, name in ((86_400.0, "days"), (3600.0, "hours"), (60.0, "minutes"))
                 if span_s > 2 * length_s), (1.0, "seconds"))


def _bins_ns(requests: Recorded) -> int:
    """Length of an interval of the axis."""
    return max(1, -((requests.begin_ns - requests.end_ns) // BINS))


def _edges(requests: Recorded, unit_s: float) -> Any:
    n = -((requests.begin_ns - requests.end_ns) // _bins_ns(requests))
    return (requests.begin_ns + np.arange(n + 1) * _bins_ns(requests)) / (unit_s * NS_PER_S)


def _rate(axes: Any, requests: Recorded, edges: Any) -> None:
    counts = per_interval(requests.t_ns, requests.begin_ns, requests.end_ns, _bins_ns(requests))
    length_s = _bins_ns(requests) / NS_PER_S
    scale, name = (1.0, "requests/s") if counts.max() > length_s else (3600.0, "requests/h")
    axes.stairs(counts * scale / length_s, edges, fill=True, color=INK["blue"], alpha=0.85, lw=0)
    axes.set_title(f"{name}, mean of {format_duration(length_s)}", fontsize=9)
    axes.margins(x=0)


def _models(axes: Any, requests: Recorded, edges: Any) -> Any:
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    some = requests.busiest(ROWS)
    columns, n = len(edges) - 1, len(some.names)
    place = (some.t_ns - requests.begin_ns) // _bins_ns(requests)
    counts = np.bincount(some.model * columns + place, minlength=n * columns).reshape(n, columns)
    colours = LinearSegmentedColormap.from_list("requests", [INK["pale"], INK["cyan"], INK["blue"], INK["navy"]])
    mesh = axes.pcolormesh(edges, np.arange(n + 1) + 0.5, np.ma.masked_equal(counts, 0), cmap=colours,
                           norm=LogNorm(1, max(2, counts.max())), rasterized=True)
    axes.invert_yaxis()
    axes.grid(False)
    axes.set_title(f"when each of the {n} most requested models is asked for (requests in an interval)", fontsize=9)
    return mesh


def _popularity(axes: Any, requests: Recorded, described: Description) -> None:
    ranked = np.sort(requests.counts[requests.counts > 0])[::-1]
    rank = np.arange(1, len(ranked) + 1)
    axes.loglog(rank, ranked, "o", ms=3, color=INK["blue"], label="trace")
    for s, shade, name in ((described.zipf_s, "amber", "likelihood"), (described.zipf_s_ols, "grey", "least squares")):
        if np.isfinite(s):
            law = rank**-s
            axes.loglog(rank, law / law.sum() * ranked.sum(), color=INK[shade], lw=1.2, label=f"s = {s:.2f} ({name})")
    axes.set_ylim(0.7, ranked[0] * 1.6)
    axes.set_title("requests by rank of the model", fontsize=9)
    axes.legend(frameon=False, fontsize=7.5, loc="lower left")


def _hits(axes: Any, requests: Recorded, described: Description) -> None:
    sizes = _some(len(described.lru_hit_ratio) - 1)
    axes.plot(sizes, [100 * described.hit_ratio(int(size)) for size in sizes], color=INK["blue"], label="trace")
    axes.plot(sizes, 100 * che_hit_ratios(requests.counts, sizes), color=INK["grey"], lw=1.2, ls="--",
              label="independent draws")
    _hit_axes(axes)


def _hit_axes(axes: Any) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_ylim(0, 102)
    axes.set_title("LRU hit ratio (%) by models that fit", fontsize=9)
    axes.legend(frameon=False, fontsize=7.5, loc="lower right")


def _gaps(axes: Any, requests: Recorded) -> None:
    gaps_s = np.sort(np.diff(requests.t_ns)) / NS_PER_S
    at = np.unique(np.linspace(0, len(gaps_s) - 1, POINTS).astype(int))
    axes.plot(gaps_s[at], 1 - at / len(gaps_s), color=INK["blue"], label="trace")
    x = np.geomspace(max(gaps_s[gaps_s > 0][0], 1e-6), gaps_s[-1], POINTS)
    axes.plot(x, np.exp(-x / gaps_s.mean()), color=INK["grey"], lw=1.2, ls="--", label="Poisson")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(max(0.5 / len(gaps_s), 1e-6), 1.3)
    axes.set_title("share of gaps longer than (s)", fontsize=9)
    axes.legend(frameon=False, fontsize=7.5, loc="lower left")


def _day(axes: Any, requests: Recorded) -> None:
    day = hours_of_day(requests)
    axes.bar(np.arange(24) + 0.5, 100 * day / day.sum(), width=0.85, color=INK["teal"])
    axes.set_xticks(range(0, 25, 6))
    axes.set_title("% of requests by hour of the day", fontsize=9)


def _seen(axes: Any, requests: Recorded) -> None:
    first_s = first_asked_s(requests)
    seen = np.arange(1, len(first_s) + 1)
    unit_s, unit = _unit(requests.span_s)
    axes.step(np.append(first_s, requests.span_s) / unit_s, np.append(seen, len(first_s)), where="post",
              color=INK["teal"])
    axes.set_ylim(0)
    axes.set_title(f"models asked for within so many {unit}", fontsize=9)


def _some(most: int) -> Any:
    """Whole numbers from 1 to `most`, evenly on a logarithmic scale."""
    return np.unique(np.geomspace(1, max(1, most), 60).astype(np.int64))
