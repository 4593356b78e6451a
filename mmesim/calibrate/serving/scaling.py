"""The rule from one GPU to another: times on B from times on A, for models that were measured on A only.

log(S_B / S_A) = level + bend x log(S_A): short batches, which launches and memory bound, profit less from a larger
GPU than long ones. Both numbers are least squares over the batch sizes of models that were measured on both GPUs, each
model with the same weight, among models of the same backend and precision if there are two of them, else of the same
precision, else among all; beyond the shortest and the longest of these times the ratio stays. The error is measured by
leaving each model out in turn: the others predict its times on B. (The bend was kept because it lowers that error over
the pairs of GPUs that are published: median 15 % against 21 % with one ratio for all times.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from mmesim.calibrate.serving.fitting import fittable
from mmesim.calibrate.serving.groups import Group
from mmesim.profile.model import ON_CPU, ModelProfile
from mmesim.profile.points import OperatingPoint
from mmesim.units import format_duration

ENOUGH = 2
"""Models that a rule should rest on: with fewer its error cannot be measured."""
BEND_PRIOR = 0.02
"""The bend is 0 ± 1 a priori, against a scatter of ratios of 15 %: it stays near 0 where few times speak of it."""
LEAST_BEND = -0.95
"""Longer batches on A are never shorter ones on B."""
Pair: TypeAlias = tuple[float, float]
"""Seconds of one batch size on A and on B."""
Times: TypeAlias = dict[str, list[Pair]]
"""By model."""


@dataclass(frozen=True)
class Curve:
    """Times of one model on one GPU."""

    model: str
    series: str
    """Equal for curves that differ in nothing but the GPU."""
    backend: str
    precision: str
    gpu: str
    seconds: Mapping[int, float]
    """By batch size, as measured."""


@dataclass(frozen=True)
class Line:
    """The rule's two numbers and the times on A, in seconds, between which they hold."""

    level: float
    bend: float
    shortest_s: float
    longest_s: float

    def ratio(self, seconds: float) -> float:
        """S_B / S_A for a batch that takes `seconds` on A."""
        return math.exp(self.level + self.bend * math.log(min(max(seconds, self.shortest_s), self.longest_s)))


@dataclass(frozen=True)
class Scaling:
    """From times on `source` to times on `target`."""

    source: str
    target: str
    scope: str
    """Among which models: ``tensorrt fp16``, ``fp16``, ``all``."""
    line: Line
    models: tuple[str, ...]
    points: int
    median_error: float | None
    """Of the absolute errors of left-out models' times; None with one model only."""
    p90_error: float | None

    def described(self) -> str:
        """The rule in words, with its error."""
        error = "its error is not known: one model only" if self.median_error is None else \
            f"error on left-out models: median {self.median_error:.0%}, 90th percentile {self.p90_error:.0%}"
        low, high = ((self.line.ratio(s), format_duration(s)) for s in (self.line.shortest_s, self.line.longest_s))
        number = f"{len(self.models)} model{'s' * (len(self.models) > 1)}"
        return (f"rule: times on {self.target} = times on {self.source} x {low[0]:.3g} (at {low[1]}) to {high[0]:.3g} "
                f"(at {high[1]}), from {number} ({self.scope}) at {self.points} batch sizes measured on both; {error}")


def curves_of_points(points: Iterable[OperatingPoint]) -> list[Curve]:
    """S(b) of each group of points with one request in flight."""
    return [_curve_of(group) for group in fittable(points)[0]]


def _curve_of(group: Group) -> Curve:
    rows: dict[int, list[float]] = {}
    for point in group.alone:
        rows.setdefault(point.batch_size, []).append(point.compute_s or point.latency_s or 0.0)
    series = "/".join((group.model, group.backend, group.precision, group.input))
    return Curve(group.model, series, group.backend, group.precision, group.gpu,
                 {size: float(np.mean(times)) for size, times in rows.items()})


def curves_of_profiles(profiles: Iterable[ModelProfile]) -> list[Curve]:
    """The batches of profiles. A time under load is compared with times under load only, and so on."""
    found = []
    for profile in profiles:
        file = profile.file
        if file.latency and profile.gpu != ON_CPU:
            series = f"{profile.name.removesuffix('-' + profile.gpu.lower())}, {file.latency.basis}"
            times = {point.batch: point.total_s for point in file.latency.batches}
            found.append(Curve(file.model, series, file.backend, file.precision, profile.gpu, times))
    return found


def scaling(curves: Sequence[Curve], source: str, target: str, backend: str, precision: str) -> Scaling | None:
    """The rule for a model of this backend and precision; None if no model was measured on both GPUs."""
    both = _measured_on_both(curves, source, target)
    scopes: tuple[tuple[str, Callable[[Curve], bool]], ...] = (
        (f"{backend} {precision}", lambda curve: (curve.backend, curve.precision) == (backend, precision)),
        (precision, lambda curve: curve.precision == precision), ("all", lambda curve: True))
    best: Scaling | None = None
    for scope, belongs in scopes:
        times: Times = {}
        for curve, pairs in both:
            if pairs and belongs(curve):
                times.setdefault(curve.model, []).extend(pairs)
        if times and (best is None or len(best.models) < min(ENOUGH, len(times))):
            best = _scaling(source, target, scope, times)
    return best


def scaling_table(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """A row for each ordered pair of GPUs and each backend and precision that two models share: ratios of the shortest
    and the longest batches, and the error."""
    gpus = list(dict.fromkeys(curve.gpu for curve in curves))
    kinds = list(dict.fromkeys((curve.backend, curve.precision) for curve in curves))
    rows = []
    for source in gpus:
        for target in gpus:
            for backend, precision in kinds if source != target else ():
                found = scaling(curves, source, target, backend, precision)
                if found and found.scope == f"{backend} {precision}" and len(found.models) >= ENOUGH:
                    rows.append({"from": source, "to": target, "backend": backend, "precision": precision,
                                 "ratio_short": found.line.ratio(found.line.shortest_s),
                                 "ratio_long": found.line.ratio(found.line.longest_s),
                                 "models": len(found.models), "points": found.points,
                                 "median_error": found.median_error, "p90_error": found.p90_error})
    return rows


def _measured_on_both(curves: Sequence[Curve], source: str, target: str) -> list[tuple[Curve, list[Pair]]]:
    """Curves on the target, and their times beside those on the source at the batch sizes that both have."""
    on_source = {curve.series: curve for curve in curves if curve.gpu == source}
    found = []
    for curve in curves:
        if curve.gpu == target and curve.series in on_source:
            known = on_source[curve.series].seconds
            found.append((curve, [(known[size], s) for size, s in curve.seconds.items() if size in known]))
    return found


def _scaling(source: str, target: str, scope: str, times: Times) -> Scaling:
    errors = []
    for model, pairs in times.items():
        if others := {name: theirs for name, theirs in times.items() if name != model}:
            line = _line(others)
            errors += [abs(line.ratio(before) * before / after - 1) for before, after in pairs]
    return Scaling(source, target, scope, _line(times), tuple(times), sum(map(len, times.values())),
                   float(np.median(errors)) if errors else None, float(np.quantile(errors, 0.9)) if errors else None)


def _line(times: Times) -> Line:
    """Least squares with each model's weight equal and a prior on the bend."""
    rows = [(math.log(before), math.log(after / before), 1 / len(pairs))
            for pairs in times.values() for before, after in pairs]
    x, y, weight = map(np.array, zip(*rows, strict=True))
    matrix = np.stack([np.ones_like(x), x], axis=1)
    weighted = matrix * weight[:, None]
    level, bend = np.linalg.solve(matrix.T @ weighted + np.diag([0.0, BEND_PRIOR]), weighted.T @ y)
    if bend < LEAST_BEND:
        level, bend = np.average(y - LEAST_BEND * x, weights=weight), LEAST_BEND
    return Line(float(level), float(bend), math.exp(min(x)), math.exp(max(x)))
