"""The load test drawn: measured and predicted over time, a column a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmesim.calibrate.loadtest.predict import Result
from mmesim.errors import InputError, Problem

FORMATS = (".png", ".svg", ".pdf")
_PANELS = (("requests/s", {"rps": "rps"}), ("latency, ms", {"p50_ms": "p50", "p95_ms": "p95", "p99_ms": "p99"}))
_COLOURS = {"rps": "#2166ac", "p50_ms": "#12837a", "p95_ms": "#c97b08", "p99_ms": "#c23b2e"}


def check_figure(path: Path) -> None:
    """Raises InputError for a file that no figure can be written to."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(Problem(f"{path.name} is no kind of figure", hint=f"end it in {', '.join(FORMATS)}"))


def draw(results: Sequence[Result], path: Path) -> None:
    """Write the figure; the same results give the same bytes."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "mmesim", "svg.fonttype": "none", "font.size": 9, "axes.grid": True,
                     "grid.color": "#e4e7eb", "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(5.2 * len(results), 6.0), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(_PANELS), len(results), squeeze=False, sharex="col")
        for column, result in enumerate(results):
            _column(axes[:, column], result)
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix.lower() == ".svg" else {})


def _column(axes: Any, result: Result) -> None:
    times = [row.poll.time_s for row in result.polls]
    last_used_s = max(row.poll.time_s for row in result.polls if row.used)
    axes[0].set_title(f"{result.measured.name}, {result.measured.copies} copies", loc="left")
    for axis, (label, figures) in zip(axes, _PANELS, strict=True):
        axis.axvspan(0, last_used_s, color="#eceff2", zorder=0)
        for figure, name in figures.items():
            colour = _COLOURS[figure]
            axis.plot(times, [row.predicted[figure] for row in result.polls], color=colour, label=f"{name} predicted")
            axis.plot(times, [row.measured[figure] for row in result.polls], "o", color=colour, mfc="white",
                      label=f"{name} measured")
        axis.set_ylabel(f"{label}, since the start")
        axis.set_ylim(bottom=0)
        axis.legend(frameon=False, fontsize=8)
    axes[0].text(last_used_s, axes[0].get_ylim()[1], "calibration ", ha="right", va="top", color="#5f6973", fontsize=8)
    axes[-1].set_xlabel("time, s")
