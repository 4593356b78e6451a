"""The two files of a measured endpoint: `memory_steps.csv` and `load_test.csv`.

`memory_steps.csv` (model, engine, models_loaded, gpu_memory_pct, instance_type): copies are loaded one after another;
GPU memory used after each, in per cent of what the driver shows. `load_test.csv` (model, engine, models_loaded, poll,
…_cum): what Locust reported so far, now and then, during a ramp over all those copies. Both may hold several models.

The time of a poll is in its row: Locust's requests/s is requests over the time from the start to the last request
counted, so time = requests / (requests/s). That needs no clock of the poller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmesim.calibrate.loadtest.locust import QUANTILES
from mmesim.errors import InputError, Problem
from mmesim.profile.readers.source import Row, Table, each, read_tables, read_text

MEMORY_FILE, LOAD_FILE = "memory_steps.csv", "load_test.csv"
_MEMORY = ("model", "engine", "models_loaded", "gpu_memory_pct", "instance_type")
_PERCENTILES = tuple(f"p{round(100 * q)}_ms_cum" for q in QUANTILES)
_LOAD = ("model", "engine", "models_loaded", "poll", "requests_cum", "failures_cum", "rps_cum", "avg_ms_cum",
         "min_ms_cum", "max_ms_cum", *_PERCENTILES)


@dataclass(frozen=True, slots=True)
class Poll:
    """What Locust reported at one moment, all since the start; times in ms."""

    number: int
    time_s: float
    requests: int
    failures: int
    rps: float
    mean_ms: float
    min_ms: float
    max_ms: float
    quantiles_ms: tuple[float, ...]
    """At :data:`~mmesim.calibrate.loadtest.locust.QUANTILES`."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One model's measurements."""

    model: str
    engine: str
    instance_type: str
    copies: int
    """Loaded during the load test: as many as the memory run could load."""
    memory_pct: tuple[float, ...]
    """After 1, 2, … copies."""
    polls: tuple[Poll, ...]

    @property
    def name(self) -> str:
        return f"{self.model} {self.engine}"


def read_measurements(folder: Path) -> list[Measured]:
    """All models of the two files in `folder`, in the order of `load_test.csv`. Raises InputError."""
    if not folder.is_dir():
        raise InputError(Problem(f"{folder} is not a folder", hint=f"it should hold {MEMORY_FILE} and {LOAD_FILE}"))
    memory = _by_model(_table(folder / MEMORY_FILE, _MEMORY))
    load = _by_model(_table(folder / LOAD_FILE, _LOAD))
    if missing := [name for name in load if name not in memory]:
        raise InputError(Problem(f"{' '.join(missing[0])} is not in it, but in {LOAD_FILE}",
                                 file=str(folder / MEMORY_FILE), hint="measure the memory of that model too"))
    return each(load, lambda name: _measured(name, memory[name], load[name]))


def _table(path: Path, columns: Sequence[str]) -> Table:
    table, *more = read_tables(path, read_text(path))
    if more:
        raise InputError(Problem("the header is there twice", file=str(path), line=more[0].line, hint="keep the first"))
    if missing := [name for name in columns if name not in table.units]:
        raise InputError(Problem(f"no column {missing[0]!r}", file=str(path), line=table.line,
                                 hint=f"the columns are {', '.join(columns)}"))
    if not table.rows:
        raise InputError(Problem("there is no row below the header", file=str(path), line=table.line))
    return table


def _by_model(table: Table) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = {}
    for row in table.rows:
        found.setdefault((row.text("model"), row.text("engine")), []).append(row)
    return found


def _measured(name: tuple[str, str], memory: list[Row], load: list[Row]) -> Measured:
    polls = tuple(each(load, _poll))
    for before, after, row in zip(polls, polls[1:], load[1:], strict=False):
        if after.time_s <= before.time_s or after.requests <= before.requests:
            raise row.wrong(f"poll {after.number} is not after poll {before.number}: {after.requests} requests in "
                            f"{after.time_s:.1f} s", "the columns are totals since the start, in time order")
    return Measured(*name, _same(memory, "instance_type"), int(_same(load, "models_loaded")), _memory(memory), polls)


def _same(rows: Sequence[Row], column: str) -> str:
    """The value that all rows share."""
    for row in rows:
        if row.text(column) != rows[0].text(column) or not row.text(column):
            raise row[column].wrong(hint=f"all rows of a model have the same {column}; the first has "
                                         f"{rows[0].text(column)!r}")
    return rows[0].text(column)


def _memory(rows: Sequence[Row]) -> tuple[float, ...]:
    used = each(rows, _used_pct)
    for n, row in enumerate(rows):
        if row["models_loaded"].count(1) != n + 1:
            raise row["models_loaded"].wrong(hint=f"step {n + 1} has {n + 1} copies loaded")
        if n and used[n] <= used[n - 1]:
            raise row["gpu_memory_pct"].wrong(f"memory did not grow: {used[n]:g} % after {used[n - 1]:g} %",
                                              "each step loads one more copy and unloads none")
    return tuple(used)


def _used_pct(row: Row) -> float:
    used = float(row["gpu_memory_pct"].number())
    if not 0 < used <= 100:
        raise row["gpu_memory_pct"].wrong(hint="write per cent of the device's memory, above 0 to 100")
    return used


def _poll(row: Row) -> Poll:
    requests, rps = row["requests_cum"].count(1), float(row["rps_cum"].number())
    if rps <= 0:
        raise row["rps_cum"].wrong(hint="requests/s since the start; requests / that is the time of the poll")
    quantiles = tuple(float(row[name].number()) for name in _PERCENTILES)
    mean, low, high = (float(row[f"{name}_ms_cum"].number()) for name in ("avg", "min", "max"))
    if list(quantiles) != sorted(quantiles) or not 0 < low <= mean <= high:
        raise row.wrong("latencies contradict one another", "min <= average <= max, and p50 <= p66 <= … <= p99")
    failures = row["failures_cum"].count()
    return Poll(row["poll"].count(), requests / rps, requests, failures, rps, mean, low, high, quantiles)


def intervals(polls: Sequence[Poll]) -> list[tuple[float, float, int, float]]:
    """(from s, to s, requests, mean ms) between each poll and the one before; the first from the start."""
    requests = np.diff([0, *(poll.requests for poll in polls)])
    total_ms = np.diff([0.0, *(poll.requests * poll.mean_ms for poll in polls)])
    times = [0.0, *(poll.time_s for poll in polls)]
    return [(times[n], times[n + 1], int(requests[n]), float(total_ms[n] / requests[n])) for n in range(len(polls))]
