"""Microsoft's public traces.

- **Azure Functions 2019** (github.com/Azure/AzurePublicDataset, AzureFunctionsDataset2019; Shahrad et al.,
  "Serverless in the Wild", ATC '20): ``invocations_per_function_md.anon.dXX.csv``, one file a day, with ``HashOwner,
  HashApp, HashFunction, Trigger, 1 … 1440``: requests of one function in each minute of the day. Rows of one function
  add up. The original files were not at hand: tested on a published sample of the trace brought back into this layout.
- **Azure LLM inference 2023 and 2024** (same repository; Patel et al., "Splitwise", ISCA '24):
  ``AzureLLMInferenceTrace_code.csv``: ``TIMESTAMP, ContextTokens, GeneratedTokens``, one file a service, dates with
  seven digits after the point, without an offset (2023) or with one (2024).
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from mmesim.workload.importing.columns import Columns, rows_of
from mmesim.workload.importing.rows import Counts, Notes, Requests, Texts
from mmesim.workload.importing.table import Table, read_table

FUNCTION = ("HashOwner", "HashApp", "HashFunction")
MINUTES = 1440
MINUTE_NS = 60_000_000_000
TOKENS = {"ContextTokens": "input_tokens", "GeneratedTokens": "output_tokens"}


def is_functions(header: list[str]) -> bool:
    """The header of a day of functions."""
    return set(FUNCTION) <= set(header) and "1" in header


def is_llm(header: list[str]) -> bool:
    """The header of a service."""
    return {"TIMESTAMP", *TOKENS} <= set(header)


def day_in_name(path: Path) -> int | None:
    """7 of ``….anon.d07.csv``."""
    match = re.search(r"\.d(\d+)\.csv", path.name)
    return int(match[1]) if match else None


def read_functions(path: Path, day: int, notes: Notes) -> Counts:
    """One day, which is day number `day` of the trace (0 is the first)."""
    table = read_table(path, notes)
    names = function_names(table)
    minutes = sorted((int(name), name) for name in table.columns if name.isdigit())
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for minute, column in minutes:
        counts, _ = table.whole_numbers(column, notes)
        used = np.flatnonzero(counts)
        rows.append((np.full(len(used), (day * MINUTES + minute - 1) * MINUTE_NS), names[used], counts[used]))
    silent = len(names) - len(np.unique(np.concatenate([row[1] for row in rows])))
    if silent:
        notes.remarks.append(f"{path.name}: {silent} rows of functions without a request, or with a second trigger")
    return Counts(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def function_names(table: Table) -> Texts:
    """HashFunction; with owner and app before it where several apps have one of that name."""
    owner, app, function = (table.texts(name) for name in FUNCTION)
    homes: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for o, a, f in zip(owner, app, function, strict=True):
        homes[f].add((o, a))
    return np.array([f if len(homes[f]) == 1 else f"{o}/{a}/{f}"
                     for o, a, f in zip(owner, app, function, strict=True)], dtype=object)


def read_llm(path: Path, model: str, notes: Notes) -> Requests:
    """One service; its name is the last part of the file's unless given."""
    table = read_table(path, notes)
    service = model or path.name.partition(".")[0].rpartition("_")[2]
    rows = rows_of(table, Columns("TIMESTAMP", "iso", keep=tuple(TOKENS)), service, notes)
    assert isinstance(rows, Requests)
    return Requests(rows.t_ns, rows.model, {TOKENS[name]: column for name, column in rows.more.items()})
