"""A CSV (also .gz) or Parquet file as columns of text, each cell with the line it stands in.

Cells are read as text and understood by whoever knows what they mean, so that a damaged one can be told by file, line
and value. Numbers and times are converted a column at a time.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmesim.errors import InputError, Problem, alternatives
from mmesim.workload.importing.rows import Ints, Mask, Notes, Texts

if TYPE_CHECKING:
    import pyarrow as pa

UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1000, "ns": 1}
UNITS = ("auto", *UNIT_NS, "iso")
_LEAST_EPOCH = (("ns", 1e17), ("us", 1e14), ("ms", 1e11))
"""A number from here on is taken for a Unix time in that unit: in 1973 the seconds were 1e8."""


@dataclass(frozen=True, slots=True)
class Table:
    """All rows of a file."""

    path: Path
    columns: dict[str, Any]
    """Name -> Arrow column: text, or of the type that a Parquet file gives it."""
    first_line: int
    """Line of the first row; in a Parquet file its number, from 0."""

    def texts(self, name: str) -> Texts:
        """The cells of a column; an empty one is ''."""
        import pyarrow as pa
        return np.asarray(self.column(name).cast(pa.string()).fill_null("").to_numpy(), dtype=object)

    def whole_numbers(self, name: str, notes: Notes) -> tuple[Ints, Mask]:
        """Counts, and which of them can be read: whole numbers of at least 0."""
        values = self._floats(name)
        good = np.isfinite(values) & (values >= 0) & (values == np.floor(values))
        self.report(notes, ~good, name, "is no whole number of at least 0")
        return np.where(good, values, 0).astype(np.int64), good

    def times_ns(self, name: str, unit: str, notes: Notes) -> tuple[Ints, Mask]:
        """Times in ns since any one moment, and which of them can be read."""
        import pyarrow as pa
        column = self.column(name)
        if pa.types.is_timestamp(column.type):
            return column.cast(pa.timestamp("ns")).cast(pa.int64()).to_numpy(), np.ones(len(column), bool)
        floats = self._floats(name) if unit != "iso" else np.full(len(column), np.nan)
        numeric = unit in UNIT_NS or (unit == "auto" and 2 * np.isfinite(floats).sum() >= len(floats) > 0)
        times, good = self._since_epoch(name, floats, unit, notes) if numeric else iso_ns(self.texts(name))
        self.report(notes, ~good, name, "is no number" if numeric else "is no date and time (ISO 8601)")
        return times, good

    def report(self, notes: Notes, wrong: Mask, name: str, what: str) -> None:
        """Each wrong cell: the first raises InputError unless such rows are skipped."""
        rows = np.flatnonzero(wrong)
        if len(rows):
            cell = self.column(name)[int(rows[0])].as_py()
            notes.bad(self.path, f"{name} {what}: {cell!r}", line=self.first_line + int(rows[0]))
            notes.left_out(f"{name} {what}", len(rows) - 1)

    def column(self, name: str) -> Any:
        """Raises InputError when there is none of that name."""
        if name not in self.columns:
            raise InputError(Problem(f"there is no column {name!r}", file=str(self.path),
                                     hint=alternatives(name, list(self.columns))))
        return self.columns[name]

    def _since_epoch(self, name: str, floats: Any, unit: str, notes: Notes) -> tuple[Ints, Mask]:
        good = np.isfinite(floats)
        if unit == "auto":
            if name.endswith("_s"):
                return self._since_epoch(name, floats, "s", notes)
            middle = float(np.median(np.abs(floats[good])))
            unit = next((name for name, least in _LEAST_EPOCH if middle >= least), "s")
            notes.remarks.append(f"{self.path.name}: {name} is taken for {unit} by its size (--time-unit decides)")
        scale = UNIT_NS[unit]
        whole = np.floor(np.where(good, floats, 0.0))
        return whole.astype(np.int64) * scale + np.rint((np.where(good, floats, 0.0) - whole) * scale).astype(
            np.int64), good

    def _floats(self, name: str) -> Any:
        import pandas as pd
        return pd.to_numeric(self.column(name).to_pandas(), errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def iso_ns(texts: Texts) -> tuple[Ints, Mask]:
    """Dates and times in ns since 1970, and which could be read. Without an offset they are taken for UTC."""
    import pandas as pd
    slashes = pd.Series(texts).str.replace("/", "-", n=2, regex=False)  # as CloudWatch's console writes dates
    times = pd.to_datetime(slashes, format="ISO8601", utc=True, errors="coerce").astype("datetime64[ns, UTC]")
    good = times.notna().to_numpy()
    return np.where(good, times.astype("int64").to_numpy(), 0), good


def read_table(path: Path, notes: Notes) -> Table:
    """The whole file. Raises InputError when it is no table, or a row has too many or too few cells."""
    if path.suffix in (".parquet", ".pq"):
        return _parquet(path)
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    odd: list[Any] = []

    def skip(row: Any) -> str:  # an exception would not get through Arrow
        odd.append(row)
        return "skip"

    names = header(path)
    options = arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    try:
        table = arrow_csv.read_csv(path, arrow_csv.ReadOptions(use_threads=False),
                                   arrow_csv.ParseOptions(invalid_row_handler=skip), options)
    except pa.ArrowException as error:
        raise InputError(Problem(f"this cannot be read as CSV: {error}", file=str(path))) from None
    for row in odd:
        notes.bad(path, f"row has another number of cells than the header: {row.actual_columns} instead of "
                        f"{row.expected_columns}", line=row.number or 0)
    return Table(path, dict(zip(table.column_names, table.columns, strict=True)), first_line=2)


def header(path: Path) -> list[str]:
    """The cells of the first line of a CSV, or the columns of a Parquet file."""
    if path.suffix in (".parquet", ".pq"):
        return list(_parquet_schema(path).names)
    line = first_line(path)
    return [cell.strip() for cell in next(csv.reader([line]), [])]


def first_line(path: Path) -> str:
    """The first line that is not empty. Raises InputError when it is no text."""
    opened: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as text:
            return next((line.strip() for line in text if line.strip()), "")
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise InputError(Problem(f"this cannot be read as text: {error}", file=str(path))) from None


def _parquet_schema(path: Path) -> pa.Schema:
    from pyarrow import ArrowException, parquet
    try:
        return parquet.ParquetFile(path).schema_arrow
    except ArrowException as error:
        raise InputError(Problem(f"this is not a Parquet file: {error}", file=str(path))) from None


def _parquet(path: Path) -> Table:
    from pyarrow import parquet
    _parquet_schema(path)
    table = parquet.read_table(path)
    return Table(path, dict(zip(table.column_names, table.columns, strict=True)), first_line=0)
