"""Tables with one request, or one count, in each row; the columns are found by name or given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmesim.errors import InputError, Problem
from mmesim.workload.importing.rows import Counts, Notes, Requests
from mmesim.workload.importing.table import Table, read_table

TIMES = ("timestamp_s", "timestamp", "request_timestamp", "time", "datetime", "date", "arrival_time", "start_time",
         "created_at", "gmt_create", "ts", "minute")
MODELS = ("model", "model_name", "target_model", "targetmodel", "model_id", "name", "function", "endpoint", "service")
COUNTS = ("count", "requests", "invocations")
MINUTE_NS = 60_000_000_000
Needed = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns are meant; '' is found by name."""

    time: str = ""
    unit: str = "auto"
    model: str = ""
    count: str = ""
    keep: tuple[str, ...] = ()


def looks_like(header: list[str]) -> bool:
    """A header with a time and a model in it."""
    return bool(_first(TIMES, header) and _first(MODELS, header))


def read(path: Path, columns: Columns, model: str, notes: Notes) -> Requests | Counts:
    """The rows; `model` is the name of all of them where no column tells it."""
    table = read_table(path, notes)
    return rows_of(table, found(table, columns, model), model, notes)


def found(table: Table, columns: Columns, model: str) -> Columns:
    """The columns by name. Raises InputError when one is missing."""
    header = list(table.columns)
    time = columns.time or _first(TIMES, header)
    of_model = columns.model or ("" if model else _first(MODELS, header))
    missing = [option for option, name in (("--time-column", time), ("--model-column", of_model or model)) if not name]
    if missing:
        raise InputError(Problem(f"the columns are {', '.join(header)}", file=str(table.path),
                                 hint=f"say which to take: {' '.join(f'{option} NAME' for option in missing)}"))
    for name in (time, *filter(None, (of_model, columns.count)), *columns.keep):
        table.column(name)
    count = columns.count or (_first(COUNTS, header) if time.lower() == "minute" else "")
    return Columns(time, columns.unit, of_model, count, columns.keep)


def rows_of(table: Table, columns: Columns, model: str, notes: Notes) -> Requests | Counts:
    """The rows with a time and a model; the others are reported."""
    minutes = columns.time.lower() == "minute" and columns.unit == "auto"
    t_ns, good = table.whole_numbers(columns.time, notes) if minutes else \
        table.times_ns(columns.time, columns.unit, notes)
    t_ns = t_ns * MINUTE_NS if minutes else t_ns
    names = table.texts(columns.model) if columns.model else np.full(len(t_ns), model, dtype=object)
    notes.left_out("no model named", int((good & (names == "")).sum()))
    good = good & (names != "")
    if columns.count:
        counts, readable = table.whole_numbers(columns.count, notes)
        kept = good & readable
        return Counts(t_ns[kept], names[kept], counts[kept])
    return Requests(t_ns[good], names[good], {name: table.texts(name)[good] for name in columns.keep})


def unknown_format(path: Path, header: list[str], formats: list[str]) -> InputError:
    """When nothing is recognised."""
    shown = ", ".join(header[:8]) + (", …" if len(header) > 8 else "")
    return InputError(Problem(f"no known format; the first line is: {shown}", file=str(path), hint=(
        f"name it with --format ({', '.join(formats)}), or its columns with --time-column and --model-column")))


def _first(wanted: Needed, header: list[str]) -> str:
    """The column that comes first in `wanted`, whatever its case."""
    by_name = {name.lower(): name for name in reversed(header)}
    return next((by_name[name] for name in wanted if name in by_name), "")


