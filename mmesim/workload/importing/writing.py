"""The tidy trace as a file: ``timestamp_s, model[, …]`` or ``minute, model, count``; CSV (.gz) or Parquet.

It is written beside its place and then moved there, so that nobody ever sees half of it; the same trace gives the same
bytes.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from mmesim.errors import InputError, Problem
from mmesim.workload.importing.rows import Counts, Ints, Requests

SUFFIXES = (".csv", ".csv.gz", ".parquet")
MINUTE_NS = 60_000_000_000


def check_suffix(path: Path) -> None:
    """Raises InputError when the name is none of ours."""
    if not path.name.endswith(SUFFIXES):
        raise InputError(Problem(f"{path.name} is no name for a trace", hint=f"end it in {', '.join(SUFFIXES)}"))


def write_trace(rows: Requests | Counts, path: Path) -> None:
    """Writes the trace. Raises InputError on a strange suffix."""
    check_suffix(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        (_parquet if path.suffix == ".parquet" else _csv)(rows, part, path.suffix == ".gz")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _csv(rows: Requests | Counts, path: Path, packed: bool) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    if isinstance(rows, Counts):
        writer.writerow(("minute", "model", "count"))
        writer.writerows(zip((rows.t_ns // MINUTE_NS).tolist(), rows.model, rows.count.tolist(), strict=True))
    else:
        writer.writerow(("timestamp_s", "model", *rows.more))
        writer.writerows(zip(decimal_seconds(rows.t_ns), rows.model, *rows.more.values(), strict=True))
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data, mtime=0) if packed else data)


def _parquet(rows: Requests | Counts, path: Path, _: bool) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    def texts(values: Any) -> pa.Array:
        return pa.array(values, pa.string())

    if isinstance(rows, Counts):
        columns = {"minute": rows.t_ns // MINUTE_NS, "model": texts(rows.model), "count": rows.count}
    else:
        columns = {"timestamp_s": rows.t_ns / 1e9, "model": texts(rows.model),
                   **{name: texts(values) for name, values in rows.more.items()}}
    parquet.write_table(pa.table(columns), path)


def decimal_seconds(t_ns: Ints) -> list[str]:
    """Seconds with as many digits as the finest of the times needs: 0, 3, 6 or 9."""
    digits = next(d for d in (0, 3, 6, 9) if not np.any(t_ns % 10**(9 - d)))
    if not digits:
        return [str(t) for t in (t_ns // 10**9).tolist()]
    return [f"{whole}.{part:0{digits}d}" for whole, part in zip(
        (t_ns // 10**9).tolist(), (t_ns % 10**9 // 10**(9 - digits)).tolist(), strict=True)]
