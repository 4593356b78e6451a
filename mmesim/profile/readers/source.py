"""Text, numbers and tables of files that somebody else wrote: every value knows where it stands.

Whatever is wrong with a file ends as an :class:`~mmesim.errors.InputError` with file, line, value and a way out.
Numbers are read as decimals and scaled as decimals, so that 0.5 ms is exactly 0.0005 s, and a table that is written
and read again gives the same points.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from mmesim.errors import InputError, Problem, shown

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?\Z", re.ASCII)
LARGEST = Decimal(10) ** 15
"""No time, rate or size of a measurement is larger in any unit that the tools write."""
NOTHING = ("", "None", "N/A")
"""Cells without a figure; Model Analyzer writes the words."""
MOST_PROBLEMS = 8
_HEADER = re.compile(r"(?P<name>[^()]*?)\s*(?:\((?P<unit>[^()]*)\))?\s*\Z")

T = TypeVar("T")
R = TypeVar("R")


def read_text(path: Path) -> str:
    """The file's text. Raises InputError when it cannot be read, is empty, or is no text."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(Problem(f"cannot be read: {error.strerror}", file=str(path))) from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _binary(path, error.object[error.start], error.start) from None
    if "\0" in text:
        raise _binary(path, 0, text.index("\0"))
    if not text.strip():
        raise InputError(Problem("the file is empty", file=str(path), hint="name the file that the tool has written"))
    return text


def _binary(path: Path, byte: int, at: int) -> InputError:
    return InputError(Problem(f"is not text: byte 0x{byte:02x} at offset {at}", file=str(path),
                              hint="name the CSV, the checkpoint (JSON) or the saved console text, in UTF-8"))


def parse_number(text: str) -> Decimal | None:
    """The number, None for what is none, negative or too large."""
    value = Decimal(text) if NUMBER.match(text) else None
    return value if value is not None and 0 <= value <= LARGEST else None


@dataclass(frozen=True, slots=True)
class Cell:
    """One value as written, its column (or key), and where it stands."""

    path: Path
    line: int
    name: str
    text: str

    def wrong(self, message: str = "", hint: str = "") -> InputError:
        """The error to raise for this cell."""
        return InputError(Problem(message or f"{self.name} is {shown(self.text)}", file=str(self.path), line=self.line,
                                  hint=hint))

    @property
    def has_figure(self) -> bool:
        """Whether there is something that must be a figure."""
        return self.text not in NOTHING

    def number(self) -> Decimal:
        """A number from 0 to 10^15. Raises InputError for anything else."""
        value = parse_number(self.text)
        if value is None:
            raise self.wrong(hint="write a number that is not negative (with a decimal point), or leave the cell empty")
        return value

    def count(self, least: int = 0) -> int:
        """A whole number. Raises InputError for anything else."""
        value = self.number()
        if value != value.to_integral_value() or value < least:
            raise self.wrong(hint=f"write a whole number from {least} on, or leave the cell empty")
        return int(value)

    def part(self, text: str) -> Cell:
        """A piece of this cell."""
        return Cell(self.path, self.line, self.name, text.strip())


@dataclass(frozen=True, slots=True)
class Figure:
    """A column of figures: the point's field, the unit the tool writes, and what one of it is in the field's unit."""

    field: str
    unit: str
    scale: Decimal

    def value(self, number: Decimal) -> float | int:
        """The figure in the field's own unit; bytes are whole."""
        scaled = number * self.scale
        return round(scaled) if self.field.endswith("_bytes") else float(scaled)

    def text(self, value: float) -> str:
        """The figure as it is written in the column, without loss."""
        return f"{Decimal(repr(value)) / self.scale:f}"


def figures(unit: str, scale: str, **fields: str) -> dict[str, Figure]:
    """Columns of one unit: field=column name."""
    return {name: Figure(field, unit, Decimal(scale)) for field, name in fields.items()}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table; an absent column is an empty cell."""

    path: Path
    line: int
    texts: Mapping[str, str]

    def __getitem__(self, name: str) -> Cell:
        return Cell(self.path, self.line, name, self.texts.get(name, ""))

    def text(self, *names: str) -> str:
        """The first of these cells that holds something."""
        return next((text for name in names if (text := self.texts.get(name, ""))), "")

    def count(self, name: str, least: int = 0) -> int | None:
        """A whole number, None for an empty cell."""
        return self[name].count(least) if self[name].has_figure else None

    def wrong(self, message: str, hint: str = "") -> InputError:
        """The error to raise for this row."""
        return InputError(Problem(message, file=str(self.path), line=self.line, hint=hint))


@dataclass(frozen=True, slots=True)
class Table:
    """A header and its rows. Columns go by their names in small letters, without the unit."""

    path: Path
    line: int
    units: Mapping[str, str]
    rows: tuple[Row, ...]

    def figures(self, known: Mapping[str, Figure]) -> dict[str, Figure]:
        """Those of the known columns that are there. Raises InputError for one in another unit."""
        here = {name: known[name] for name in self.units if name in known}
        wrong = [Problem(f"column {name!r} is in {self.units[name] or 'no unit'}", file=str(self.path), line=self.line,
                         hint=f"the tool writes it in {figure.unit or 'no named unit'}: convert both back")
                 for name, figure in here.items() if self.units[name] != figure.unit]
        if wrong:
            raise InputError(wrong)
        return here


def values(row: Row, columns: Mapping[str, Figure]) -> dict[str, float]:
    """Field -> figure, of the columns that are not empty."""
    return {figure.field: figure.value(row[name].number()) for name, figure in columns.items() if row[name].has_figure}


def total_s(parts: Iterable[float]) -> float:
    """A sum of times, to the nanosecond (so that 3 us + 5 us is 8 us)."""
    return round(sum(parts), 9)


def split_header(text: str) -> tuple[str, str]:
    """Name in small letters, and unit: ``p99 Latency (ms)`` -> ``p99 latency``, ``ms``."""
    match = _HEADER.match(text.strip())
    return (match["name"].lower(), (match["unit"] or "").strip()) if match else (text.strip().lower(), "")


def read_tables(path: Path, text: str) -> list[Table]:
    """The tables of a CSV file: one, or several that were written one after the other. Raises InputError."""
    lines = list(_csv_lines(path, text))
    starts = [n for n, (_, cells) in enumerate(lines)
              if n == 0 or (cells[0] == lines[0][1][0] and all(parse_number(cell) is None for cell in cells))]
    return [make_table(path, lines[start:end]) for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]


def _csv_lines(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of every row that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(Problem(f"is not a whole CSV: {error}", file=str(path), line=line,
                                 hint="a quote is not closed: was the file cut short?")) from None


def make_table(path: Path, lines: list[tuple[int, list[str]]]) -> Table:
    """A table from its header and rows. Raises InputError for rows that do not fit the header."""
    line, titles = lines[0]
    while titles and not titles[-1].strip():
        titles = titles[:-1]
    names = [split_header(title) for title in titles]
    twice = sorted({name for name, _ in names if [other for other, _ in names].count(name) > 1})
    if twice:
        raise InputError(Problem(f"column {twice[0]!r} is there twice", file=str(path), line=line,
                                 hint="keep the one that is meant"))
    rows = each(lines[1:], lambda row: _fit(path, row[0], row[1], [name for name, _ in names]))
    return Table(path, line, dict(names), tuple(rows))


def _fit(path: Path, line: int, cells: list[str], names: list[str]) -> Row:
    spare = cells[len(names):]
    if len(cells) < len(names) or any(cell.strip() for cell in spare):  # Perf Analyzer ends verbose rows with a comma
        hint = "was the file cut short?" if len(cells) < len(names) else "is a cell with commas in it not quoted?"
        raise InputError(Problem(f"the row has {len(cells)} cells, the header {len(names)}", file=str(path), line=line,
                                 hint=hint))
    return Row(path, line, {name: cell.strip() for name, cell in zip(names, cells, strict=False)})


def each(items: Iterable[T], work: Callable[[T], R]) -> list[R]:
    """`work` of every item; the problems of all items in one InputError."""
    done: list[R] = []
    problems: list[Problem] = []
    for item in items:
        try:
            done.append(work(item))
        except InputError as error:
            problems.extend(error.problems)
    if problems:
        more = len(problems) - MOST_PROBLEMS
        last = [Problem(f"{more} more of this kind", file=problems[0].file)] if more > 0 else []
        raise InputError([*problems[:MOST_PROBLEMS], *last])
    return done
