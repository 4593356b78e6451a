"""A sweep on disk: ``points.parquet`` (a row a run), ``summary.parquet`` (a row a point), ``sweep.json``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmesim.results import folders
from mmesim.results.run import to_json
from mmesim.results.sweep import Sweep

if TYPE_CHECKING:
    from pandas import DataFrame

MARKER = "sweep.json"
"""The file that makes a folder a sweep."""
TABLES = ("points", "summary")


def check_folder(folder: Path) -> None:
    """Raises InputError when `folder` holds something that is no sweep."""
    folders.check_folder(folder, MARKER, "sweep")


def save(sweep: Sweep, folder: Path) -> None:
    """Write the sweep's files to an existing folder."""
    for name in TABLES:
        _write_table(getattr(sweep, name), folder / f"{name}.parquet")
    (folder / MARKER).write_text(to_json(as_json(sweep)), encoding="utf-8")


def _write_table(table: DataFrame, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path, compression="zstd")


def as_json(sweep: Sweep) -> dict[str, Any]:
    """All but the tables, as plain data."""
    plain = {name: getattr(sweep, name) for name in Sweep.__dataclass_fields__ if name not in TABLES}
    return dict(folders.finite({**plain, "axes": [asdict(axis) for axis in sweep.axes]}))
