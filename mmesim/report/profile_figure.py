"""A profile drawn: device time and throughput over the batch size, the table's points, and what is extrapolated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmesim.errors import InputError, Problem
from mmesim.profile.model import ModelProfile
from mmesim.report.printed import INK, check_format, printed

BEYOND, FAR = 4, 16
"""The curve is drawn to so many times the last batch size of the table; to max_batch_size, if that is not too far."""


def draw_profile(profile: ModelProfile, path: Path) -> None:
    """Write the figure; the same profile gives the same bytes. Raises InputError: no latencies, or a strange suffix."""
    check_format(path)
    if profile.file.latency is None:
        raise InputError(Problem(f"the profile {profile.name} has no latency to draw",
                                 hint="measure it: mmesim profile analyze REPOSITORY --only grid"))
    from matplotlib.ticker import NullFormatter

    with printed(path, 9.6, 4.2) as figure:
        file = profile.file
        what = f"{file.model}, {file.backend} {file.precision} on {file.gpu}"
        figure.suptitle(f"{profile.name}: {what}", x=0.01, ha="left")
        time, rate = figure.subplots(1, 2)
        _draw(time, profile, "device time of a batch, ms", lambda size, seconds: seconds * 1e3)
        _draw(rate, profile, "items/s of one instance, without a pause", lambda size, seconds: size / seconds)
        time.set_yscale("log")
        time.yaxis.set_major_formatter(_plain)
        time.yaxis.set_minor_formatter(NullFormatter() if _spans_decades(profile) else _plain)
        rate.yaxis.set_major_formatter(_plain)
        rate.set_ylim(bottom=0)
        time.legend(frameon=False, fontsize=8, loc="upper left")


def _draw(axes: Any, profile: ModelProfile, label: str, value: Callable[[int, float], float]) -> None:
    """Points, curve, the extrapolated part and the largest batch; `value` of a batch size and its seconds."""
    assert profile.file.latency
    basis, points = profile.file.latency.basis, profile.file.latency.batches
    last, most = points[-1].batch, _drawn_to(profile)
    blue, grey = INK["blue"], INK["grey"]

    def curve(sizes: Sequence[int]) -> tuple[Sequence[int], list[float]]:
        return sizes, [value(size, profile.service_s(size)) for size in sizes]

    axes.axvspan(last, most, color=INK["shade"], lw=0, zorder=0)
    axes.plot(*curve(_sizes(1, last)), color=blue, label="S(batch)")
    axes.plot(*curve(_sizes(last, most)), color=grey, ls="--", label="extrapolated")
    axes.plot([point.batch for point in points], [value(point.batch, point.total_s) for point in points], "o",
              color=blue, ms=5, mfc=blue if basis == "measured" else "white", label=f"in the profile ({basis})")
    if profile.max_batch_size <= most:
        axes.axvline(profile.max_batch_size, color=INK["amber"], lw=1, ls=":", label="max_batch_size")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(_plain)
    axes.set_xlabel("batch size, items")
    axes.set_title(label, fontsize=9)


def _drawn_to(profile: ModelProfile) -> int:
    assert profile.file.latency
    last = profile.file.latency.batches[-1].batch
    return max(BEYOND * last, min(profile.max_batch_size, FAR * last))


def _spans_decades(profile: ModelProfile) -> bool:
    """Whether powers of ten are marks enough."""
    return profile.service_s(_drawn_to(profile)) > 30 * profile.service_s(1)


def _sizes(first: int, last: int) -> list[int]:
    return sorted({int(size) for size in np.geomspace(first, last, 200)} | {first, last})


def _plain(value: float, _: int) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
