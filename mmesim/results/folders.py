"""Folders of results that are added to: what may be written into, and files that are put there whole.

A folder is known by its *marker*, the JSON file that makes it a result; beside it lie the stored runs (`CELLS`). Files
are replaced one by one, the marker last; a folder with other things in it is never touched.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mmesim.errors import InputError, Problem
from mmesim.results.comparison import Interval

CELLS = ".cells"
"""Folder of the finished runs."""
_DRAFT = ".new-"


def check_folder(folder: Path, marker: str, kind: str, beside: Sequence[str] = ()) -> None:
    """Raises InputError when `folder` holds something that is no `kind` (``comparison``), finished or begun; names in
    `beside` belong to one that is begun."""
    if not folder.exists() or (folder.is_dir() and ((folder / marker).exists() or _is_begun(folder, beside))):
        return
    what = "a folder with other things in it" if folder.is_dir() else "a file"
    raise InputError(Problem(f"{folder} is {what}, not a {kind} of mmesim; it is not touched",
                             hint="name another folder with --out, or another name with --name"))


def _is_begun(folder: Path, beside: Sequence[str]) -> bool:
    """Nothing but finished runs in it, and what a killed command left."""
    return all(path.name in (CELLS, *beside) or path.name.startswith(_DRAFT) for path in folder.iterdir())


@contextmanager
def in_place(folder: Path, marker: str) -> Iterator[Path]:
    """A folder to write files into, which are then moved to `folder` one by one; nothing is moved after an error."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=folder))
    try:
        yield scratch
        for path in sorted(scratch.iterdir(), key=lambda path: (path.name == marker, path.name)):
            if (folder / path.name).is_dir():
                shutil.rmtree(folder / path.name)
            os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def finite(value: Any) -> Any:
    """Plain data, numbers of NumPy as Python's, with null for each that JSON has no word for, such as the ends of an
    interval of one seed."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def interval(data: Mapping[str, Any]) -> Interval:
    """An interval that `finite` made plain."""
    return Interval(data["mean"], _end(data["low"], -math.inf), _end(data["high"], math.inf), data["n"])


def intervals(data: Mapping[str, Mapping[str, Any]]) -> dict[str, Interval]:
    """The same for each value."""
    return {key: interval(one) for key, one in data.items()}


def _end(value: float | None, infinite: float) -> float:
    return infinite if value is None else value
