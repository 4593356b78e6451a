"""What all figures over time share: the axis, shading of the warm-up, marks of what was done to the endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mmesim.report.theme import colour
from mmesim.units import parse_duration_s

if TYPE_CHECKING:
    from pandas import DataFrame

    from mmesim.results.run import Run

MAX_POINTS = 360
"""Points in a curve: more cannot be told apart on a page."""
_WORST = ("_p50_ms", "_p90_ms", "_p95_ms", "_p99_ms", "_p99_9_ms")
_LEVELS = ("instances_running", "instances_desired")


@dataclass(frozen=True)
class Mark:
    """Something that was done to the endpoint: an instant, or a stretch of time."""

    start_s: float
    end_s: float | None
    label: str


@dataclass(frozen=True)
class Timeline:
    """The time axis of one run."""

    end_s: float
    warmup_s: float
    unit_s: float
    unit: str
    marks: tuple[Mark, ...]
    clock: str
    """What passes: ``simulated time``, or ``time`` of a live run."""

    def draw_on(self, axes: Any, labels: bool = False) -> None:
        """Limits, unit, warm-up and marks."""
        axes.set_xlim(0, self.end_s / self.unit_s)
        if self.warmup_s:
            axes.axvspan(0, self.warmup_s / self.unit_s, color=colour("shade"), lw=0, zorder=0)
        for mark in self.marks:
            if mark.end_s is None:
                axes.axvline(mark.start_s / self.unit_s, color=colour("grey"), lw=0.8, ls=(0, (1, 2)), zorder=1)
            else:
                axes.axvspan(mark.start_s / self.unit_s, mark.end_s / self.unit_s, color=colour("grey"), alpha=0.12,
                             lw=0, zorder=0)
        if labels:
            self._label_marks(axes)

    def _label_marks(self, axes: Any) -> None:
        last, level = -1.0, 0
        texts = [(0.0, "warm-up")] * bool(self.warmup_s) + [(mark.start_s, mark.label) for mark in self.marks]
        for start_s, label in texts:
            level = (level + 1) % 3 if last >= 0 and start_s - last < 0.14 * self.end_s else 0
            last = start_s
            axes.annotate(label, (start_s / self.unit_s, 1), (3, 2 + 9 * level), xycoords=("data", "axes fraction"),
                          textcoords="offset points", fontsize=7.5, color=colour("muted"), annotation_clip=False)

    def x(self, seconds: Any) -> Any:
        """Time in the axis' unit."""
        return np.asarray(seconds) / self.unit_s


def timeline(run: Run) -> Timeline:
    """The axis of a run."""
    end_s = run.summary["run"]["ended_s"]
    return Timeline(end_s, run.summary["run"]["measured_from_s"], *unit_of(end_s),
                    tuple(sorted(_marks(run), key=lambda mark: mark.start_s)),
                    "time" if "live" in run.summary else "simulated time")


def unit_of(end_s: float) -> tuple[float, str]:
    """The unit (in seconds, and its name) that gives numbers a person reads up to `end_s`."""
    units = ((1.0, "s", 200), (60.0, "min", 200), (3600.0, "h", 72), (86400.0, "d", np.inf))
    return next((unit_s, unit) for unit_s, unit, most in units if end_s / unit_s <= most)


def _marks(run: Run) -> Iterator[Mark]:
    """Surges and faults of the scenario, and instances that died otherwise."""
    scenario, end_s = run.details["scenario"], run.summary["run"]["ended_s"]
    for surge in scenario["workload"]["surges"]:
        yield from _mark(surge, f"traffic ×{surge['factor']:g}", end_s)
    scheduled = [fault for fault in scenario["faults"] if fault.get("at") is not None]
    for fault in scheduled:
        yield from _mark(fault, fault["use"].replace("_", " ").replace("s3", "S3"), end_s)
    times_s = {parse_duration_s(fault["at"]) for fault in scheduled}
    for at_ns, what, _, reason in run.details["fleet_log"]:
        if what == "lost" and at_ns / 1e9 not in times_s:
            yield Mark(at_ns / 1e9, None, reason)


def _mark(setting: dict[str, Any], label: str, end_s: float) -> Iterator[Mark]:
    start_s = parse_duration_s(setting["at"])
    if start_s < end_s:
        lasts = setting.get("for")
        yield Mark(start_s, min(end_s, start_s + parse_duration_s(lasts)) if lasts else None, label)


def coarse(metrics: DataFrame, most: int = MAX_POINTS) -> DataFrame:
    """At most so many rows: counts added up, quantiles the worst, levels the last, the rest averaged over time."""
    if len(metrics) <= most:
        return metrics
    group = np.arange(len(metrics)) // -(-len(metrics) // most)
    how = {name: _rule(name, metrics[name].dtype.kind) for name in metrics.columns}
    return metrics.groupby(group).agg(how)


def _rule(name: str, kind: str) -> str:
    if name == "start_s":
        return "first"
    if name == "end_s" or name in _LEVELS:
        return "last"
    if kind == "b":
        return "all"
    return "max" if name.endswith(_WORST) else "sum" if kind in "iu" else "mean"


def label_ends(axes: Any, ends: Sequence[tuple[float, str, str]], gap: float = 0.075) -> None:
    """Write (value, label, colour name) at the right edge of the axes, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    log = axes.get_yscale() == "log"
    place = (lambda v: np.log(v / low) / np.log(high / low)) if log else (lambda v: (v - low) / (high - low))
    spots = sorted((float(place(value)), label, name) for value, label, name in ends if np.isfinite(value))
    at = -gap
    heights = []
    for spot, _, _ in spots:
        at = max(spot, at + gap)
        heights.append(at)
    excess = max(0.0, heights[-1] - 1.0) if heights else 0.0
    for height, (_, label, name) in zip(heights, spots, strict=True):
        axes.annotate(label, (1, height - excess), (5, 0), xycoords="axes fraction", textcoords="offset points",
                      va="center", color=colour(name), fontsize=8.5, annotation_clip=False)
