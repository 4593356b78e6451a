"""Requests one by one, recorded or simulated, as columns; what was not recorded is NaN, or no column at all.

Both sides of a comparison are tables of this kind wherever the past has its requests, so that one function counts both.
Quantiles are nearest-rank ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmesim.core.types import Failure, Tier
from mmesim.dataplane.counters import Reason
from mmesim.results.tables import OUTSIDE_MODEL
from mmesim.units import NS_PER_MS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LATENCY, MODEL, OVERHEAD, WAIT, FAILED, HIT = "latency", "ModelLatency", "OverheadLatency", "ModelLoadingWaitTime", \
    "failed", "hit"
"""Columns: the first four in ms, of answered requests; the others 0 or 1. `HIT` is 0 where a request waited for its
model, or failed because it did not come, and unknown where another failure hides it (as in a run's summary)."""
LOADING = (Reason.DOWNLOAD, Reason.EXTRACT, Reason.ROOM, Reason.LOAD)
MODEL_DID_NOT_COME = (Failure.MODEL_NOT_READY, Failure.LOAD_FAILED)
PARTS = tuple(f"{reason.name.lower()}_ns" for reason in Reason)


@dataclass(frozen=True)
class Answers:
    """Requests in order of their coming."""

    t_ns: Ints
    """When each came, from the past's time 0."""
    columns: Mapping[str, Floats]

    @classmethod
    def of(cls, t_ns: Ints, columns: Mapping[str, Floats]) -> Answers:
        """The same in order of time; a column in which nothing is known is left out."""
        order = np.argsort(t_ns, kind="stable")
        return cls(t_ns[order], {name: column[order] for name, column in columns.items()
                                 if not np.isnan(column).all()})

    def between(self, since_ns: int, until_ns: int) -> Answers:
        """Those that came in [since, until)."""
        rows = slice(*np.searchsorted(self.t_ns, (since_ns, until_ns)))
        return Answers(self.t_ns[rows], {name: column[rows] for name, column in self.columns.items()})

    def moved(self, by_ns: int) -> Answers:
        """The same, so much later."""
        return replace(self, t_ns=self.t_ns + by_ns)

    def statistic(self, column: str, statistic: str, among: str = "") -> float | None:
        """``mean``, ``misses`` (how many are 0) or a quantile (``p99``) of what is known of a column; `among`: of
        ``warm`` or ``cold`` requests only. None of nothing."""
        values = self.columns.get(column)
        if values is None or (among and HIT not in self.columns):
            return None
        if among:
            values = values[self.columns[HIT] == (among == "warm")]
        known = values[~np.isnan(values)]
        if not len(known):
            return None
        if statistic == "misses":
            return float((known == 0).sum())
        return float(known.mean()) if statistic == "mean" else \
            float(np.quantile(known, fraction_of(statistic), method="inverted_cdf"))


def fraction_of(statistic: str) -> float:
    """0.99 of ``p99``, 0.999 of ``p99.9``."""
    return float(statistic.removeprefix("p")) / 100


def read_requests(path: Path, *, tiers: bool = True, parts: bool = True) -> tuple[Answers, NDArray[np.object_], Ints]:
    """Of a ``requests.parquet``: the answers, the model of each, and its items. `tiers`, `parts`: False where nobody
    measured whether the model was there, or where the time went."""
    from pyarrow import parquet

    columns = ["issued_ns", "latency_ns", "tier", "failure", "model", "items", *(PARTS if parts else ())]
    table = parquet.read_table(path, columns=columns)
    order = np.argsort(table["issued_ns"].to_numpy(), kind="stable")
    found = {name: table[name].combine_chunks().to_numpy(zero_copy_only=False)[order] for name in columns}
    return Answers.of(found["issued_ns"], _columns(found, tiers, parts)), found["model"], found["items"]


def _columns(found: Mapping[str, NDArray[Any]], tiers: bool, parts: bool) -> dict[str, Floats]:
    failure = found["failure"]
    answered = failure == Failure.NONE.name.lower()
    columns = {FAILED: 1.0 - answered, LATENCY: _ms(found["latency_ns"], answered)}
    if tiers:
        absent = np.isin(failure.astype(str), [each.name.lower() for each in MODEL_DID_NOT_COME])
        hit = (found["tier"] == Tier.GPU.name.lower()).astype(float)
        columns[HIT] = np.where(answered, hit, np.where(absent, 0.0, np.nan))
    if parts:
        outside = _sum(found, OUTSIDE_MODEL)
        columns[OVERHEAD], columns[MODEL] = _ms(outside, answered), _ms(found["latency_ns"] - outside, answered)
        columns[WAIT] = _ms(_sum(found, LOADING), answered)
    return columns


def _sum(found: Mapping[str, NDArray[Any]], reasons: Iterable[Reason]) -> Ints:
    return np.sum([found[PARTS[reason]] for reason in reasons], axis=0)


def _ms(time_ns: Ints, answered: NDArray[np.bool_]) -> Floats:
    return np.where(answered, time_ns / NS_PER_MS, np.nan)
