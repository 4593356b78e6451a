"""What no measurement is: figures of one row that contradict one another, mostly because of mixed-up units.

Three laws hold whatever was measured, so a row that breaks one of them by far is not noisy but wrong:

* Little's law: throughput x mean latency = batch x concurrency in a closed loop;
* Markov's inequality: the mean of a positive quantity is at least (1 - q) times its q-quantile;
* the server's stages are part of the client's mean latency.

A ratio of :data:`FAR` or more is taken for ms against us (or s against ms); less than that is left to
`OperatingPoint.is_sound`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmesim.errors import InputError, Problem
from mmesim.profile.points import OperatingPoint
from mmesim.profile.readers.source import MOST_PROBLEMS

FAR = 100
"""Ten times less than the step from one unit to the next, and far beyond a window that was cut short (about 1/5)."""
GPU_BYTES = (10**6, 10**13)
"""Used memory of a GPU in bytes: a context alone takes megabytes, and no GPU has 10 TB."""
QUANTILES = {"p50_s": (0.50, 10 * FAR), "p90_s": (0.90, 10 * FAR), "p95_s": (0.95, FAR), "p99_s": (0.99, FAR)}
"""Field: its quantile, and how many times larger the mean may be (cold starts make it larger than a median)."""


def check_units(path: Path, points: list[OperatingPoint]) -> None:
    """Raises InputError when figures of a row cannot belong together."""
    problems = [Problem(f"{point.model}: {text}", file=str(path), line=_line(point),
                        path="" if _line(point) else point.at,
                        hint="was a column converted, or the file put together from several?")
                for point in points for text in _contradictions(point)]
    if problems:
        more = len(problems) - MOST_PROBLEMS
        raise InputError([*problems[:MOST_PROBLEMS], *([Problem(f"{more} more", file=str(path))] if more > 0 else [])])


def _line(point: OperatingPoint) -> int:
    word, _, number = point.at.partition(" ")
    return int(number) if word == "line" and number.isdecimal() else 0


def _contradictions(point: OperatingPoint) -> Iterator[str]:
    ratio = point.littles_law
    if ratio is not None and point.throughput_per_s and not 1 / FAR < ratio < FAR and point.latency_s:
        yield (f"throughput {point.throughput_per_s:g}/s x mean latency {point.latency_s:g} s = "
               f"{point.throughput_per_s * point.latency_s:.4g}, but {point.batch_size} x {point.concurrency} "
               "inferences were in flight: one of them is in another unit")
    mean = point.latency_s
    for name, (quantile, most) in QUANTILES.items():
        value = getattr(point, name)
        if mean and value and not mean / most < value < FAR / 10 * mean / (1 - quantile):
            yield f"{name[:-2]} {value:g} s and mean latency {mean:g} s cannot be of one measurement"
    stages = [value for value in (point.queue_s, point.compute_s) if value]
    if mean and sum(stages) > FAR * mean:
        yield f"queue and compute take {sum(stages):g} s of a mean latency of {mean:g} s"
    if point.gpu_bytes and not GPU_BYTES[0] <= point.gpu_bytes <= GPU_BYTES[1]:
        yield f"the used GPU memory comes to {point.gpu_bytes:,} bytes"
    if point.gpu_utilization is not None and point.gpu_utilization > 1.01:
        yield f"the GPU utilization comes to {point.gpu_utilization:.4g} of 1"
