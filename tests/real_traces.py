"""Real traces as arrays, from the folder of shared data (fixture `shared_data`)."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

GENAI, BLOCKS = "alibaba_genai_requests_dev", "cloudphysics_block_sample"


def columns_of(shared_data: Path, trace: str, *columns: str, rows: int | None = None) -> list[list[str]]:
    """These columns of a trace, as written; of its first `rows` rows, or of all."""
    with gzip.open(shared_data / "traces" / f"{trace}.csv.gz", "rt", newline="") as file:
        kept = [[row[column] for column in columns] for row in islice(csv.DictReader(file), rows)]
    return [list(column) for column in zip(*kept, strict=True)]


def numbered(names: Sequence[str]) -> NDArray[np.int32]:
    """Models by number, in the order in which each is first asked for."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int32)


def genai_requests(shared_data: Path) -> NDArray[np.int32]:
    """Requests of the GenAI trace, by base model."""
    return numbered(*columns_of(shared_data, GENAI, "model"))


def block_requests(shared_data: Path, rows: int | None = None) -> tuple[NDArray[np.int32], list[int]]:
    """Requests of the block trace, and each object's size in bytes when first asked for."""
    names, sizes = columns_of(shared_data, BLOCKS, "model", "size_bytes", rows=rows)
    requests = numbered(names)
    first = np.unique(requests, return_index=True)[1]
    return requests, [int(sizes[row]) for row in first]
