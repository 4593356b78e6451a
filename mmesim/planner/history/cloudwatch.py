"""CloudWatch's record of an endpoint: which numbers it has, and what they may be compared to.

Read are the answers of ``aws cloudwatch get-metric-data`` and ``get-metric-statistics`` (JSON), the console's CSV, and
besides them the queries of ``get-metric-data`` (a list of ``MetricDataQuery``), which say what each ``Id`` is. Without
the queries a series is known by its label or id, which must name metric and statistic (``ModelLatency p99``): the
answer itself tells neither, and a guess would be silent.

Names, units and statistics: SageMaker Developer Guide, "Monitor Amazon SageMaker AI with Amazon CloudWatch": latencies
are in microseconds; LoadedModelCount and the utilisations are per instance; the number of instances is the SampleCount
of CPUUtilization in a minute; that of ModelLoadingTime is the number of loads.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mmesim.errors import InputError, Problem
from mmesim.planner.history.answers import MODEL, OVERHEAD, WAIT, Floats, Ints
from mmesim.planner.history.evidence import REQUESTS, Evidence, Kind, Track
from mmesim.planner.history.numbers import ERRORS, HITS, INSTANCES, quantile_key
from mmesim.workload.importing.importer import MINUTE_NS, SECOND_NS
from mmesim.workload.importing.table import iso_ns

LATENCIES = (MODEL, OVERHEAD, WAIT)
LEVELS = ("GPUUtilization", "GPUMemoryUtilization", "CPUUtilization", "MemoryUtilization", "DiskUtilization",
          "LoadedModelCount")
INVOCATIONS, CACHE_HIT = "Invocations", "ModelCacheHit"
FAULTS = ("Invocation4XXErrors", "Invocation5XXErrors")
LOADING, UNLOADING = "ModelLoadingTime", "ModelUnloadingTime"
METRICS = (*LATENCIES, *LEVELS, INVOCATIONS, CACHE_HIT, *FAULTS, LOADING, UNLOADING)
OTHERS = ("InvocationsPerInstance", "InvocationsPerCopy", "InvocationModelErrors", "ModelDownloadingTime",
          "ModelSetupTime", "ConcurrentRequestsPerModel", "CPUUtilizationNormalized", "GPUUtilizationNormalized",
          "MemoryUtilizationNormalized", "GPUMemoryUtilizationNormalized")
"""Names that are not compared; some hold another one of `METRICS` in them and must not be taken for it."""
AVERAGE, SUM, COUNT = "Average", "Sum", "SampleCount"
STATISTICS = {"average": AVERAGE, "avg": AVERAGE, "mean": AVERAGE, "sum": SUM, "samplecount": COUNT, "n": COUNT,
              "maximum": "Maximum", "max": "Maximum", "minimum": "Minimum", "min": "Minimum"}
US_PER_MS = 1e3


@dataclass(frozen=True)
class Series:
    """One metric with one statistic, on the wall clock."""

    metric: str
    statistic: str
    start_ns: Ints
    value: Floats
    period_s: int

    @property
    def end_ns(self) -> Ints:
        return self.start_ns + self.period_s * SECOND_NS


@dataclass
class Export:
    """What files of CloudWatch hold."""

    series: list[Series]
    notes: list[str]

    def one(self, metric: str, statistic: str) -> Series | None:
        """The series, if it is there."""
        return next((each for each in self.series if (each.metric, each.statistic) == (metric, statistic)), None)


@dataclass(frozen=True)
class _Meant:
    metric: str
    statistic: str
    period_s: int = 0


@dataclass(frozen=True)
class _Found:
    """A series as it stands in a file."""

    names: tuple[str, ...]
    times: Sequence[Any]
    values: Sequence[Any]
    meant: _Meant | None = None


def read_export(paths: Iterable[Path]) -> Export:
    """All files together. Raises InputError when one is nothing of CloudWatch."""
    queries: dict[str, _Meant] = {}
    found: list[tuple[Path, _Found]] = []
    for path in paths:
        document = _document(path)
        asked = _queries(document)
        queries.update(asked)
        if not asked:
            found += [(path, each) for each in _series(path, document)]
    export = Export([], [])
    for path, each in found:
        _take(export, path, each, queries)
    return export


def is_export(path: Path) -> bool:
    """Whether a file is one of an endpoint's metrics: its series have names of `METRICS`."""
    if path.suffix not in (".json", ".csv"):
        return False
    try:
        return any(metric_in(name) for each in _series(path, _document(path)) for name in each.names)
    except InputError:
        return False


def evidence_of(export: Export, zero_unix_ns: int) -> Evidence:
    """The tracks, from the past's time 0 on."""
    tracks = dict(_tracks(export))
    return Evidence(None, {name: track.moved(-zero_unix_ns) for name, track in tracks.items() if len(track.value)})


def _tracks(export: Export) -> Iterator[tuple[str, Track]]:
    for each in export.series:
        metric, statistic, value = each.metric, each.statistic, each.value
        if metric in LATENCIES and statistic == AVERAGE:
            yield f"{metric}.mean", _track("by requests", each, value / US_PER_MS)
        elif metric in LATENCIES and statistic.startswith("p"):
            yield quantile_key(metric, statistic), _track("each", each, value / US_PER_MS)
        elif (metric, statistic) == (CACHE_HIT, AVERAGE):
            yield HITS, _track("by requests", each, value)
        elif metric in LEVELS and statistic == AVERAGE:
            yield metric, _track("mean", each, value)
        elif (metric, statistic) == (INVOCATIONS, SUM):
            yield REQUESTS, _track("sum", each, value)
        elif (metric, statistic) in ((LOADING, COUNT), (UNLOADING, COUNT)):
            yield f"residency.{'loads' if metric == LOADING else 'unloads'}", _track("sum", each, value)
        elif (metric, statistic) == ("CPUUtilization", COUNT):
            yield INSTANCES, _track("mean", each, value / (each.period_s / 60))
        elif metric not in FAULTS or statistic != SUM:
            export.notes.append(f"{metric} {statistic} is not compared: the simulation has no such number")
    yield from _errors(export)


def _track(kind: Kind, series: Series, value: Floats) -> Track:
    return Track.of(kind, series.start_ns, series.end_ns, value)


def _errors(export: Export) -> Iterator[tuple[str, Track]]:
    """The error rate of each period, from both kinds of errors; no point of an error means none."""
    of_kind = [export.one(metric, SUM) for metric in FAULTS]
    asked = export.one(INVOCATIONS, SUM)
    if not any(of_kind):
        return
    if asked is None or not all(of_kind):
        wanted = ", ".join((*FAULTS, INVOCATIONS))
        export.notes.append(f"the error rate is not compared: it takes the Sum of each of {wanted}")
        return
    errors = np.zeros(len(asked.value))
    for each in of_kind:
        assert each is not None
        counts = dict(zip(each.start_ns.tolist(), each.value.tolist(), strict=True))
        errors += [counts.get(start_ns, 0.0) for start_ns in asked.start_ns.tolist()]
    rate = np.divide(errors, asked.value, out=np.full(len(errors), np.nan), where=asked.value > 0)
    yield ERRORS, _track("by requests", asked, rate)


# ---- which series is what


def metric_in(name: str) -> str:
    """The metric that a label or id names; '' when it is none. The longest name counts."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return max((metric for metric in (*METRICS, *OTHERS) if metric.lower() in plain), key=len, default="")


def _meant(each: _Found, queries: Mapping[str, _Meant]) -> _Meant | None:
    """By its query, else by a name that has metric and statistic in it."""
    known = each.meant or next((queries[name] for name in each.names if name in queries), None)
    if known is not None:
        return known
    metric = next(filter(None, map(metric_in, each.names)), "")
    statistic = next(filter(None, (_statistic_in(name) for name in each.names)), "")
    return _Meant(metric, statistic) if metric else None


def _statistic_in(name: str) -> str:
    words = re.findall(r"[a-z]+\d+(?:\.\d+)?|[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())
    joined = [*words, *(a + b for a, b in pairwise(words))]
    quantile = next((word for word in words if re.fullmatch(r"p\d+(\.\d+)?", word)), "")
    return quantile or next((STATISTICS[word] for word in joined if word in STATISTICS), "")


def _take(export: Export, path: Path, each: _Found, queries: Mapping[str, _Meant]) -> None:
    meant, shown = _meant(each, queries), " / ".join(filter(None, each.names))
    if meant is None or meant.metric not in METRICS:
        export.notes.append(f"{path.name}: {shown} is no metric that is compared")
    elif not meant.statistic:
        export.notes.append(f"{path.name}: the statistic of {shown} is not told and not guessed: write it into the "
                            f"label ({meant.metric} p99), or give the queries besides")
    else:
        start_ns, readable = _times(each.times)
        values = np.array([float(value) for value in each.values], float)
        if not readable.all():
            wrong = each.times[int(np.argmin(readable))]
            raise InputError(Problem(f"this is no date and time: {wrong!r}", file=str(path)))
        export.series.append(Series(meant.metric, meant.statistic, start_ns, values,
                                    meant.period_s or _period_s(start_ns)))


def _times(times: Sequence[Any]) -> tuple[Ints, Any]:
    """Unix seconds (version 1 of the CLI) or ISO 8601."""
    try:
        return np.array([round(float(time) * 1e9) for time in times], np.int64), np.ones(len(times), bool)
    except (TypeError, ValueError):
        return iso_ns(np.array([str(time) for time in times], object))


def _period_s(start_ns: Ints) -> int:
    """The least distance of two points; a minute of one alone."""
    distances = np.diff(np.unique(start_ns))
    return int(distances.min()) // SECOND_NS if len(distances) else MINUTE_NS // SECOND_NS


# ---- files


def _document(path: Path) -> Any:
    """JSON as it is, another text as it stands."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Problem(f"this cannot be read: {error}", file=str(path))) from None
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(Problem(f"this is not JSON: {error}", file=str(path), line=error.lineno)) from None


def _queries(document: Any) -> dict[str, _Meant]:
    """Id -> what it asks for, of a file of queries; nothing of another one."""
    listed = document.get("MetricDataQueries") if isinstance(document, dict) else document
    if not isinstance(listed, list):
        return {}
    stats = {query["Id"]: query["MetricStat"] for query in listed if "Id" in query and "MetricStat" in query}
    return {name: _Meant(stat["Metric"]["MetricName"], _named(stat["Stat"]), int(stat["Period"]))
            for name, stat in stats.items()}


def _named(statistic: str) -> str:
    return STATISTICS.get(statistic.lower(), statistic.lower())


def _series(path: Path, document: Any) -> list[_Found]:
    if isinstance(document, str):
        return _of_console(path, document)
    if isinstance(document, dict) and "MetricDataResults" in document:
        return [_Found((str(each.get("Label", "")), str(each.get("Id", ""))), each.get("Timestamps", []),
                       each.get("Values", [])) for each in document["MetricDataResults"]]
    if isinstance(document, dict) and "Datapoints" in document:
        return list(_of_statistics(document))
    raise InputError(Problem("this is nothing that CloudWatch answers", file=str(path), hint="save the whole answer of "
                             "aws cloudwatch get-metric-data or get-metric-statistics"))


def _of_statistics(document: Mapping[str, Any]) -> Iterator[_Found]:
    """One series for each statistic of the points."""
    label, points = str(document.get("Label", "")), document["Datapoints"]
    for statistic in (AVERAGE, SUM, COUNT):
        yield from _one(label, statistic, [(point["Timestamp"], point[statistic]) for point in points
                                           if statistic in point])
    quantiles = sorted({name for point in points for name in point.get("ExtendedStatistics", {})})
    for name in quantiles:
        yield from _one(label, name, [(point["Timestamp"], point["ExtendedStatistics"][name]) for point in points
                                      if name in point.get("ExtendedStatistics", {})])


def _one(label: str, statistic: str, points: Sequence[tuple[Any, Any]]) -> Iterator[_Found]:
    if points:
        times, values = zip(*points, strict=True)
        yield _Found((label, statistic), times, values, _Meant(metric_in(label), statistic))


def _of_console(path: Path, text: str) -> list[_Found]:
    """The console's "Download as .csv": lines of labels, then a date and a value for each series."""
    labels: list[str] = []
    rows: list[list[str]] = []
    for cells in csv.reader(text.splitlines()):
        if cells and cells[0][:1].isdigit():
            rows.append(cells)
        elif cells and (not labels or cells[0].strip().lower() == "label"):
            labels = [cell.strip() for cell in cells[1:]]
    if not labels or not rows:
        raise InputError(Problem("this is nothing that CloudWatch writes", file=str(path)))
    return [_Found((label,), [row[0] for row in rows if _has(row, k)], [row[k] for row in rows if _has(row, k)])
            for k, label in enumerate(labels, 1)]


def _has(row: Sequence[str], k: int) -> bool:
    return k < len(row) and bool(row[k].strip())
