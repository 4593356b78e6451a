"""A comparison on disk: ``comparison.json`` (all but tables and sketches), the tables as Parquet, ``sketches.npz``.

The files lie beside the stored cells (``.cells``) and are replaced one by one, comparison.json last; a folder with
other things in it is never touched.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmesim.errors import InputError, Problem
from mmesim.results.comparison import Bound, Comparison, Interval, Metric, Variant
from mmesim.results.run import to_json

if TYPE_CHECKING:
    from pandas import DataFrame

MARKER = "comparison.json"
"""The file that makes a folder a comparison."""
CELLS = ".cells"
"""Folder of the finished runs."""
TABLES = ("cells", "models", "series", "curve")
_INTERVALS = ("values", "differences", "relative", "regret")


def check_folder(folder: Path) -> None:
    """Raises InputError when `folder` holds something that is no comparison."""
    if not folder.exists() or (folder.is_dir() and ((folder / MARKER).exists() or (folder / CELLS).exists()
                                                    or not any(folder.iterdir()))):
        return
    what = "a folder with other things in it" if folder.is_dir() else "a file"
    raise InputError(Problem(f"{folder} is {what}, not a comparison of mmesim; it is not touched",
                             hint="name another folder with --out, or another name with --name"))


@contextmanager
def in_place(folder: Path) -> Iterator[Path]:
    """A folder to write files into, which are then moved to `folder` one by one; nothing is moved after an error."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
    try:
        yield scratch
        for path in sorted(scratch.iterdir(), key=lambda path: (path.name == MARKER, path.name)):
            if (folder / path.name).is_dir():
                shutil.rmtree(folder / path.name)
            os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def save(comparison: Comparison, folder: Path) -> None:
    """Write the comparison's files to an existing folder."""
    for name in TABLES:
        _write_table(getattr(comparison, name), folder / f"{name}.parquet")
    np.savez_compressed(folder / "sketches.npz", *(variant.sketch for variant in comparison.variants))
    (folder / MARKER).write_text(to_json(as_json(comparison)), encoding="utf-8")


def _write_table(table: DataFrame, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path, compression="zstd")


def as_json(comparison: Comparison) -> dict[str, Any]:
    """All but tables and sketches, as plain data; what is infinite (an interval of one seed) is null."""
    plain = {name: getattr(comparison, name) for name in Comparison.__dataclass_fields__ if name not in TABLES}
    variants = [{name: value for name, value in asdict(variant).items() if name != "sketch"}
                for variant in comparison.variants]
    return _finite({**plain, "metrics": [asdict(metric) for metric in comparison.metrics], "variants": variants,
                    "bound": asdict(comparison.bound) if comparison.bound else None})


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def load(folder: Path) -> Comparison:
    """Read a saved comparison. Raises InputError when `folder` is none."""
    import pandas as pd

    if not (folder / MARKER).is_file():
        raise InputError(Problem(f"{folder} is not a comparison of mmesim: it has no {MARKER}",
                                 hint="give a folder that `mmesim compare` wrote"))
    try:
        document = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}
        with np.load(folder / "sketches.npz", allow_pickle=False) as stored:
            sketches = [stored[f"arr_{k}"] for k in range(len(document["variants"]))]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(Problem(f"{folder} cannot be read: {error}", hint="compare again")) from error
    bound = document["bound"]
    return Comparison(**{
        **document, **tables, "metrics": [Metric(**metric) for metric in document["metrics"]],
        "variants": [_variant(*one) for one in zip(document["variants"], sketches, strict=True)],
        "bound": Bound(**{**bound, "values": _intervals(bound["values"])}) if bound else None})


def _variant(data: dict[str, Any], sketch: Any) -> Variant:
    return Variant(**{**data, **{name: _intervals(data[name]) for name in _INTERVALS}, "sketch": sketch})


def _intervals(data: Mapping[str, dict[str, Any]]) -> dict[str, Interval]:
    return {key: Interval(one["mean"], _end(one["low"], -math.inf), _end(one["high"], math.inf), one["n"])
            for key, one in data.items()}


def _end(value: float | None, infinite: float) -> float:
    return infinite if value is None else value
