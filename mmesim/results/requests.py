"""requests.parquet: a row a request, streamed in row groups."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmesim.core.types import Failure, Tier
from mmesim.dataplane.counters import REQUEST_RECORD, Reason

ROW_GROUP = 1 << 17
"""Rows held in memory before they are written."""


class RequestWriter:
    """Writes REQUEST_RECORD rows; models, tiers and failures by name, ``*_ns`` as they are."""

    def __init__(self, path: Path, models: Sequence[str]) -> None:
        self._path = path
        self._names = {"model": list(models), "tier": [tier.name.lower() for tier in Tier],
                       "failure": [failure.name.lower() for failure in Failure]}
        self._pending: list[NDArray[np.void]] = []
        self._n_pending = 0
        import pyarrow.parquet as pq

        self._writer = pq.ParquetWriter(path, self._table(np.zeros(0, REQUEST_RECORD)).schema, compression="zstd")

    def write(self, rows: NDArray[np.void]) -> None:
        """Append rows."""
        self._pending.append(rows.copy())
        self._n_pending += len(rows)
        while self._n_pending >= ROW_GROUP:
            self._flush(ROW_GROUP)

    def close(self) -> None:
        """Write what is left and the footer."""
        self._flush(self._n_pending)
        self._writer.close()

    def _flush(self, n: int) -> None:
        rows = np.concatenate([np.zeros(0, REQUEST_RECORD), *self._pending])
        if n:
            self._writer.write_table(self._table(rows[:n]))
        self._pending, self._n_pending = [rows[n:]], len(rows) - n

    def _table(self, rows: NDArray[np.void]):  # type: ignore[no-untyped-def]
        import pyarrow as pa

        columns = {}
        for name in REQUEST_RECORD.names or ():
            values = rows[name]
            if name in self._names:
                known = self._names[name]
                indices = pa.array(values, pa.int32(), mask=values < 0)
                columns[name] = pa.DictionaryArray.from_arrays(indices, pa.array(known, pa.string()))
            elif name != "reasons_ns":
                columns[name] = pa.array(values)
        for reason in Reason:
            columns[f"{reason.name.lower()}_ns"] = pa.array(np.ascontiguousarray(rows["reasons_ns"][:, reason]))
        return pa.table(columns)
