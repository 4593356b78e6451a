"""A comparison on disk: ``comparison.json`` (all but tables and sketches), the tables as Parquet, ``sketches.npz``.

The files lie beside the stored cells (``.cells``) and are replaced one by one, comparison.json last; a folder with
other things in it is never touched.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmesim.errors import InputError, Problem
from mmesim.results import folders
from mmesim.results.comparison import Bound, Comparison, Metric, Variant
from mmesim.results.folders import intervals
from mmesim.results.run import to_json

if TYPE_CHECKING:
    from pandas import DataFrame

MARKER = "comparison.json"
"""The file that makes a folder a comparison."""
TABLES = ("cells", "models", "series", "curve")
_INTERVALS = ("values", "differences", "relative", "regret")


def check_folder(folder: Path) -> None:
    """Raises InputError when `folder` holds something that is no comparison."""
    folders.check_folder(folder, MARKER, "comparison")


def in_place(folder: Path) -> AbstractContextManager[Path]:
    """A folder to write files into, which are then moved to `folder` one by one; nothing is moved after an error."""
    return folders.in_place(folder, MARKER)


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
    return folders.finite({**plain, "metrics": [asdict(metric) for metric in comparison.metrics], "variants": variants,
                           "bound": asdict(comparison.bound) if comparison.bound else None})


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
        "bound": Bound(**{**bound, "values": intervals(bound["values"])}) if bound else None})


def _variant(data: dict[str, Any], sketch: Any) -> Variant:
    return Variant(**{**data, **{name: intervals(data[name]) for name in _INTERVALS}, "sketch": sketch})
