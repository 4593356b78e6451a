"""Locust (docs.locust.io, "Retrieve test statistics in CSV format").

- ``PREFIX_stats_history.csv`` of ``--csv PREFIX``: one row a second, with the running ``Total Request Count``; with
  ``--csv-full-history`` one for each name too. Differences of the running counts become requests per minute. A request
  is counted when it is answered. Columns as in files of Locust 2 in public repositories.
- A log with a time and a ``name`` in each row, as an event listener writes it (the layout is its author's): requests,
  read like any table.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmesim.workload.importing.rows import Counts, Notes
from mmesim.workload.importing.table import read_table

TIME, NAME, TOTAL = "Timestamp", "Name", "Total Request Count"
ALL = "Aggregated"
SECOND_NS = 1_000_000_000


def is_history(header: list[str]) -> bool:
    """The header of a stats history."""
    return {TIME, NAME, TOTAL, "User Count"} <= set(header)


def read_history(path: Path, model: str, notes: Notes) -> Counts:
    """Requests of each name between its rows; of all together when the file has no names."""
    table = read_table(path, notes)
    times, good = table.times_ns(TIME, "s", notes)
    totals, readable = table.whole_numbers(TOTAL, notes)
    names = table.texts(NAME)
    kept = good & readable
    named = sorted(set(names[kept]) - {ALL, ""})
    if not named:
        notes.remarks.append(f"{path.name}: totals only (--csv-full-history writes each name): one model")
    parts = [_series(times[rows], totals[rows], model or name) for name in named or [ALL]
             for rows in [np.flatnonzero(kept & (names == name))]]
    return Counts(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _series(times: np.ndarray, totals: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Requests since the row before; a count that falls was reset."""
    new = np.diff(totals, prepend=0)
    new = np.where(new < 0, totals, new)
    used = new > 0
    return times[used], np.full(int(used.sum()), name, dtype=object), new[used]
