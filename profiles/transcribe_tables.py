"""Of all published rows of a series those that make one profile: rows of one kind, of one table.

Rows behind Triton come first, then a bare engine's, then other tables, then MLPerf's logs. They become operating points
that `mmesim profile fit` fits: S(b) from rows with one request in flight, the rest from the two lowest loads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from transcribe_data import Row
from transcribe_series import Series, name_of, series_of

from mmesim.profile.points import OperatingPoint
from mmesim.profile.readers import read_points

Pair = tuple[Row, OperatingPoint]
TABLES = ("static batch", "static batching", "one process")
INVERSE = "batch / throughput with one request in flight: latencies are not published"
SINGLE = ("batch 1 is MLPerf's single stream; the larger batch is batch / offline throughput, several streams at once; "
          "no server and no network in it")


@dataclass(frozen=True)
class Measured:
    """What one profile is made from."""

    name: str
    series: Series
    row: Row
    """One of its rows."""
    points: tuple[OperatingPoint, ...]
    note: str = ""
    estimated: str = ""
    """Why S(b) is estimated rather than measured."""

    @property
    def is_loaded(self) -> bool:
        """Whether there are rows under load to fit to."""
        return any(point.scenario == "online" for point in self.points)


def measured(folder: Path) -> list[Measured]:
    """All profiles that the published rows give, by name."""
    path = folder / "triton_published" / "measurements.csv"
    groups: dict[str, list[Pair]] = {}
    series: dict[str, Series] = {}
    for row, point in zip(_rows(path), read_points([path]).points, strict=True):
        if found := series_of(row):
            name = name_of(found, row)
            series[name] = found
            groups.setdefault(name, []).append((row, point))
    made = [_chosen(name, series[name], pairs) for name, pairs in sorted(groups.items())]
    return [one for one in made if one is not None]


def _rows(path: Path) -> list[Row]:
    import csv
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _chosen(name: str, series: Series, pairs: Sequence[Pair]) -> Measured | None:
    """The first kind of rows that tells of two batch sizes."""
    kinds: tuple[Callable[[Sequence[Pair]], tuple[list[Pair], str, str]], ...] = (_triton, _engine, _table, _mlperf)
    for kind in kinds:
        found, note, estimated = kind(pairs)
        if len({point.batch_size for _, point in found if point.concurrency == 1}) > 1:
            row = found[0][0]
            same = tuple(replace(point, gpu=row["gpu"]) for _, point in found)
            return Measured(name, series, row, same, note, estimated)
    return None


def _triton(pairs: Sequence[Pair]) -> tuple[list[Pair], str, str]:
    return [pair for pair in pairs if pair[0]["scenario"] in ("offline", "online")], "", ""


def _engine(pairs: Sequence[Pair]) -> tuple[list[Pair], str, str]:
    found = [(row, replace(point, scenario="offline")) for row, point in pairs if row["scenario"] == "engine only"]
    return found, "A bare TensorRT engine: served by none, no server overhead in it.", ""


def _table(pairs: Sequence[Pair]) -> tuple[list[Pair], str, str]:
    """The table with the most batch sizes; of equals the first."""
    tables: dict[tuple[str, ...], list[Pair]] = {}
    for row, point in pairs:
        if row["scenario"] in TABLES and point.concurrency == 1:
            key = (row["source_path"], row["source_commit"], row["table_heading"])
            tables.setdefault(key, []).append((row, point))
    if not tables:
        return [], "", ""
    best = max(tables.values(), key=lambda rows: len({point.batch_size for _, point in rows}))
    served = best[0][0]["served_by"]
    bare = "" if served.startswith("triton") else f"Served by {served}: no server overhead in it."
    inverse = INVERSE if any(point.latency_s is None for _, point in best) else ""
    return [(row, replace(point, scenario="offline", latency_s=point.latency_s or _inverse_s(point)))
            for row, point in best], bare, inverse


def _inverse_s(point: OperatingPoint) -> float | None:
    return point.batch_size / point.throughput_per_s if point.throughput_per_s else None


def _mlperf(pairs: Sequence[Pair]) -> tuple[list[Pair], str, str]:
    """The newest submission with both a single stream and an offline result of one GPU without Triton."""
    systems: dict[tuple[str, ...], dict[str, Pair]] = {}
    for row, point in pairs:
        words = row["scenario"].split()
        if words[0] == "mlperf" and row["served_by"] == "mlperf harness (no server)" and _is_nvidias(row):
            systems.setdefault((words[1], row["gpu_detail"]), {}).setdefault(words[2], (row, point))
    both = {key: found for key, found in systems.items() if {"singlestream", "offline"} <= set(found)}
    if not both:
        return [], "", ""
    found = both[max(both)]
    rows = list(_streams(found["singlestream"], found["offline"]))
    return rows, "MLPerf: served by none, no server overhead in it.", SINGLE


def _streams(single: Pair, offline: Pair) -> Iterator[Pair]:
    yield single[0], replace(single[1], scenario="offline", batch_size=1)
    yield offline[0], replace(offline[1], scenario="offline", concurrency=1, latency_s=_inverse_s(offline[1]))


def _is_nvidias(row: Row) -> bool:
    return "/NVIDIA/" in row["source_path"]
