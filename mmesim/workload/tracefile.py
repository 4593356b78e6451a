"""Trace files: CSV (also .gz) and Parquet, read in batches and checked cell by cell.

Two kinds, told apart by their columns: requests (``timestamp_s, model[, items, work]``, sorted by time) and
counts (``minute, model, count``; ``minute, count`` will do where only totals are wanted). Other columns are
ignored. Every complaint names file, row and value.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmesim.errors import InputError, Problem, alternatives

if TYPE_CHECKING:
    import pyarrow as pa

REQUESTS, COUNTS = "requests", "minute_counts"
NEEDED = {REQUESTS: ("timestamp_s", "model"), COUNTS: ("minute", "model", "count")}
OPTIONAL = {REQUESTS: ("items", "work"), COUNTS: ()}
BATCH_ROWS = 131_072
BATCH_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Ids:
    """Model ids of a batch: the distinct ones, and for each row which of them."""

    names: list[str]
    row: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some consecutive rows; a column that the file does not have is None."""

    first_row: int
    """0-based number of the first row after the header."""
    time: NDArray[np.float64]
    """timestamp_s, or minute."""
    ids: Ids | None
    count: NDArray[np.float64] | None
    items: NDArray[np.float64] | None
    work: NDArray[np.float64] | None


class TraceFile:
    """A trace file whose columns are known; reading it checks it."""

    def __init__(self, path: Path, kind: str = "auto", setting: str = "workload.trace") -> None:
        self.path, self.setting = Path(path), setting
        if not self.path.is_file():
            raise self._no_file()
        self.columns = self._header()
        self.kind = self._kind(kind)

    def batches(self) -> Iterator[Batch]:
        """The rows, in batches and checked. Raises InputError at the first wrong cell."""
        first_row, reached = 0, 0.0
        for table in self._tables():
            if len(table):
                batch = self._batch(table, first_row)
                if self.kind == REQUESTS:
                    reached = self._check_sorted(batch, reached)
                yield batch
            first_row += len(table)

    def problem(self, message: str, row: int | None = None, hint: str = "") -> InputError:
        """A complaint about the file, or about one of its rows (0-based after the header)."""
        line = 0 if row is None or self._is_parquet else row + 2  # line 1 is the header
        if row is not None and self._is_parquet:
            message = f"row {row}: {message}"
        return InputError(Problem(message, path=self.setting, file=str(self.path), line=line, hint=hint))

    @property
    def _is_parquet(self) -> bool:
        return self.path.suffix in (".parquet", ".pq")

    def _no_file(self) -> InputError:
        beside = [p.name for p in self.path.parent.glob("*.*")] if self.path.parent.is_dir() else []
        hint = alternatives(self.path.name, beside) if beside else f"no such folder: {self.path.parent}"
        return self.problem("there is no such file", hint=hint)

    def _header(self) -> list[str]:
        if self._is_parquet:
            from pyarrow import ArrowException, parquet
            try:
                return list(parquet.ParquetFile(self.path).schema_arrow.names)
            except ArrowException as error:
                raise self.problem(f"this is not a Parquet file: {error}") from None
        opened: Callable[..., Any] = gzip.open if self.path.suffix == ".gz" else open
        try:
            with opened(self.path, "rt", encoding="utf-8", newline="") as text:
                return next(csv.reader(text), [])
        except (OSError, UnicodeDecodeError) as error:
            raise self.problem(f"this cannot be read as CSV: {error}") from None

    def _kind(self, kind: str) -> str:
        kinds = [kind] if kind != "auto" else [REQUESTS, COUNTS]
        for name in kinds:
            if set(self._needed(name)) <= set(self.columns):
                return name
        wanted = " or ".join(", ".join(self._needed(name)) for name in kinds)
        found = f"the columns are {', '.join(self.columns)}" if self.columns else "the file is empty"
        raise self.problem(found, hint=f"a trace has the columns {wanted}, by these names")

    def _needed(self, kind: str) -> tuple[str, ...]:
        totals = kind == COUNTS and self.setting.endswith("arrivals.file")
        return ("minute", "count") if totals else NEEDED[kind]

    def _tables(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv
        from pyarrow import parquet
        wanted = [c for c in (*NEEDED[self.kind], *OPTIONAL[self.kind]) if c in self.columns]
        try:
            if self._is_parquet:
                yield from parquet.ParquetFile(self.path).iter_batches(BATCH_ROWS, columns=wanted)
            else:
                yield from arrow_csv.open_csv(
                    self.path, arrow_csv.ReadOptions(block_size=BATCH_BYTES),
                    convert_options=arrow_csv.ConvertOptions(
                        include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string())))
        except pa.ArrowException as error:
            raise self.problem(f"this cannot be read: {error}") from None

    def _batch(self, table: pa.RecordBatch, first_row: int) -> Batch:
        def numbers(name: str, least: float) -> NDArray[np.float64] | None:
            return self._numbers(table, name, least, first_row) if name in table.schema.names else None

        time = numbers(NEEDED[self.kind][0], 0.0)
        assert time is not None
        ids = self._ids(table, first_row) if "model" in table.schema.names else None
        return Batch(first_row, time, ids, numbers("count", 0.0), numbers("items", 1.0), numbers("work", 0.0))

    def _numbers(self, table: pa.RecordBatch, name: str, least: float, first_row: int) -> NDArray[np.float64]:
        import pyarrow as pa
        column = table.column(name)
        try:
            values = np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False))
        except pa.ArrowException:
            values = np.array([_number(cell) for cell in column.to_pylist()])
        whole = name in ("minute", "count", "items")
        wrong = ~(np.isfinite(values) & (values >= least))
        if whole:
            wrong |= values != np.floor(values)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            what = f"a {'whole ' if whole else ''}number of at least {least:g}"
            raise self.problem(f"{name} is {column[row].as_py()!r}", first_row + row, f"write {what}")
        return values

    def _ids(self, table: pa.RecordBatch, first_row: int) -> Ids:
        import pyarrow as pa
        coded = table.column("model").cast(pa.string()).fill_null("").dictionary_encode()
        ids = Ids(coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int64))
        if "" in ids.names:
            row = int(np.flatnonzero(ids.row == ids.names.index(""))[0])
            raise self.problem("model is empty", first_row + row, "every request names its model")
        return ids

    def _check_sorted(self, batch: Batch, reached: float) -> float:
        back = np.flatnonzero(np.diff(batch.time, prepend=reached) < 0)
        if len(back):
            row = int(back[0])
            before = batch.time[row - 1] if row else reached
            raise self.problem(f"timestamp_s goes back from {before:.9g} to {batch.time[row]:.9g}",
                               batch.first_row + row, "sort the trace by timestamp_s: it is read as a stream")
        return float(batch.time[-1])


def _number(cell: object) -> float:
    try:
        return float(str(cell))
    except ValueError:
        return float("nan")
