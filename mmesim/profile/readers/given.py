"""What the caller knows and the file does not tell. It fills gaps; it never overrules the file."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from statistics import median
from typing import Any

from mmesim.errors import InputError, Problem, shown
from mmesim.profile.points import SOUND, OperatingPoint
from mmesim.profile.readers.checks import FAR
from mmesim.profile.readers.naming import backend_name, gpu_name
from mmesim.profile.readers.reading import Reading

UNKNOWN = ("", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Context of the measurements, as fields of :class:`~mmesim.profile.points.OperatingPoint`."""

    model: str = ""
    backend: str = ""
    precision: str = ""
    gpu: str = ""
    input: str = ""
    batch_size: int | None = None
    concurrency: int | None = None
    instance_count: int | None = None

    def normal(self) -> Given:
        """With the names that profiles and the catalog use."""
        return replace(self, backend=backend_name(self.backend), gpu=gpu_name(self.gpu))


def filled(reading: Reading, given: Given) -> list[OperatingPoint]:
    """The reading's points, completed. Raises InputError when given and read contradict, or the model is missing."""
    normal = given.normal()
    wanted = {field.name: value for field in fields(Given) if (value := getattr(normal, field.name)) not in UNKNOWN}
    problems = list(dict.fromkeys(problem for point in reading.points for problem in _clashes(reading, point, wanted)))
    if not given.model and any(not point.model for point in reading.points):
        problems.append(Problem("does not tell which model was measured", file=str(reading.path),
                                hint="give it: --model NAME"))
    if problems:
        raise InputError(problems)
    points = [replace(point, **_gaps(reading, point, wanted)) for point in reading.points]
    if not reading.batch_known and given.batch_size is None:
        _check_batch(reading, points)
    return points


def _gaps(reading: Reading, point: OperatingPoint, wanted: dict[str, Any]) -> dict[str, Any]:
    gaps = {name: value for name, value in wanted.items() if getattr(point, name) in UNKNOWN}
    if point.request_rate_rps is not None:
        gaps.pop("concurrency", None)
    if "batch_size" in wanted and not reading.batch_known:
        gaps["batch_size"] = wanted["batch_size"]
    return gaps


def _clashes(reading: Reading, point: OperatingPoint, wanted: dict[str, Any]) -> list[Problem]:
    found = {name: getattr(point, name) for name in wanted if getattr(point, name) not in UNKNOWN}
    if not reading.batch_known:
        found.pop("batch_size", None)
    return [Problem(f"{name.replace('_', ' ')} is {shown(value)}, but {shown(wanted[name])} was given",
                    file=str(reading.path), hint="leave the option away, or import this file by itself")
            for name, value in found.items() if value != wanted[name]]


def _check_batch(reading: Reading, points: list[OperatingPoint]) -> None:
    """Throughput x latency is batch x concurrency; more of it than a batch of 1 can give, and the batch was larger."""
    ratios = [point.littles_law for point in points if point.littles_law]
    if ratios and SOUND[1] < median(ratios) < FAR:
        size = max(2, round(median(ratios)))
        raise InputError(Problem(
            f"does not tell the batch size; throughput x latency is {median(ratios):.2f} times the concurrency",
            file=str(reading.path), hint=f"was it perf_analyzer -b {size}? then give --batch-size {size}"))
    if points:
        reading.remarks.append(f"{reading.path.name} does not tell the batch size: taken as 1, perf_analyzer's default")
