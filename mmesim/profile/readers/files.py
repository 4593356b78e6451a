"""From files and folders to points: the kind of each file is found from its content, never from its name.

A folder is Model Analyzer's output folder, or any other: what is no measurement in it is passed over. Rows of its CSV
files that are in its checkpoint too are left aside: by default they have only throughput and p99 of the same runs.
"""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from mmesim.errors import InputError, Problem, shown
from mmesim.profile.points import SOUND, OperatingPoint
from mmesim.profile.readers import (
    analyzer_csv,
    analyzer_gpus,
    checkpoint,
    console,
    measurements,
    perf_csv,
    report_table,
)
from mmesim.profile.readers.checks import check_units
from mmesim.profile.readers.given import Given, filled
from mmesim.profile.readers.reading import Reading
from mmesim.profile.readers.source import Table, each, read_tables, read_text, split_header
from mmesim.profile.readers.tree import Node, read_json
from mmesim.profile.readers.twice import without_doubles

TABLE_KIND = "table of operating points"
RANKS = (checkpoint.KIND, TABLE_KIND, perf_csv.KIND, analyzer_csv.KIND, console.KIND, report_table.KIND)
"""Which of two files that hold one measurement is kept: the one that tells more."""
KNOWN = ("expected a Model Analyzer checkpoint (JSON) or CSV, a Perf Analyzer CSV (perf_analyzer -f), its console "
         "text, a report's table in markdown, or a table with the columns model and throughput_inf_per_s")
HEADER_WORDS = {*analyzer_csv.PER_MODEL, *analyzer_gpus.PER_GPU, *analyzer_gpus.UUID, *measurements.REQUIRED[1:],
                perf_csv.THROUGHPUT, "model config path"}
PEEKED_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Imported:
    """What was read."""

    points: list[OperatingPoint]
    remarks: list[str] = field(default_factory=list)
    """What is worth knowing: rows that were cut short, columns that are missing, files left aside."""


@dataclass(frozen=True, slots=True, eq=False)
class _Content:
    """A file that holds measurements, in the form its kind needs."""

    path: Path
    folder: Path | None
    """The folder that was named instead of the file."""
    root: Node | None = None
    tables: tuple[Table, ...] = ()
    console_text: str = ""
    whole: bool = True
    """False: the last line of a CSV has no end."""


def read_points(paths: Sequence[Path], *, given: Given | None = None) -> Imported:
    """All operating points of these files and folders, each measurement once.

    Raises InputError with everything that is wrong in any of them.
    """
    contents = [content for content in each(_files(paths), lambda item: _content(*item)) if content]
    _check_folders(paths, contents)
    parts = each(_jobs(contents), lambda job: job())
    ranked = sorted((reading for part in parts for reading in part), key=lambda reading: RANKS.index(reading.kind))
    readings = _without_poorer(ranked, {content.path: content.folder for content in contents})
    points = each(readings, lambda reading: _checked(reading, given or Given()))
    unique, doubles = without_doubles(readings, points)
    remarks = [remark for reading in readings for remark in reading.remarks]
    return Imported(unique, list(dict.fromkeys([*_unfinished(contents), *remarks, *doubles, *_unsound(unique)])))


def _files(paths: Sequence[Path]) -> list[tuple[Path, Path | None]]:
    """Every file once, and the folder it was found in, if a folder was named."""
    found: dict[Path, tuple[Path, Path | None]] = {}
    for path in paths:
        if path.is_dir():
            for parent, folders, names in os.walk(path):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                for name in sorted(names):
                    found.setdefault((Path(parent) / name).resolve(), (Path(parent) / name, path))
        elif path.exists():
            found[path.resolve()] = (path, None)
        else:
            raise InputError(Problem("no such file or folder", file=str(path), hint="is the path right?"))
    return list(found.values())


def _content(path: Path, folder: Path | None) -> _Content | None:
    """The file, understood as far as its kind; None for anything else that lies in a folder."""
    if folder and not _is_text(path):
        return None
    text = read_text(path)
    if text.lstrip().startswith("{"):
        root = read_json(path, text) if not folder or "ResultManager." in text else None
        return _Content(path, folder, root=root) if root else None
    pasted = [table for table in report_table.pasted_tables(path, text) if _reader(table)]
    if pasted or console.is_console(text):
        return _Content(path, folder, tables=tuple(pasted), console_text=text if console.is_console(text) else "")
    if _header(text) & HEADER_WORDS:
        tables = read_tables(path, text)
        if not any(table.rows for table in tables):
            raise InputError(Problem("has a header and no rows", file=str(path), hint="was the file cut short?"))
        return _Content(path, folder, tables=tuple(tables), whole=text.endswith(("\n", "\r")))
    if folder:
        return None
    line = next(line for line in text.splitlines() if line.strip())
    raise InputError(Problem(f"is of no known kind: it begins with {shown(line.strip())}", file=str(path), line=1,
                             hint=KNOWN))


def _is_text(path: Path) -> bool:
    """Whether the file's beginning is text and not empty (a model repository is full of other files)."""
    try:
        with path.open("rb") as file:
            head = file.read(PEEKED_BYTES)
    except OSError:
        return False
    return bool(head.strip()) and b"\0" not in head


def _header(text: str) -> set[str]:
    """Names of the columns, if the text is a CSV."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    try:
        return {split_header(cell)[0] for cell in next(csv.reader([first]), [])}
    except csv.Error:
        return set()


def _check_folders(paths: Sequence[Path], contents: list[_Content]) -> None:
    filled_folders = {content.folder for content in contents}
    bare = [path for path in paths if path.is_dir() and path not in filled_folders]
    if bare:
        raise InputError([Problem("holds no measurement", file=str(path), hint=KNOWN) for path in bare])


def _unfinished(contents: list[_Content]) -> list[str]:
    return [f"{content.path.name}: the last line has no line end; if the file was cut, its last figure is wrong"
            for content in contents if not content.whole]


def _without_poorer(readings: list[Reading], folders: dict[Path, Path | None]) -> list[Reading]:
    """Without the rows of Model Analyzer's CSV files that are in a checkpoint in the same folder, checkpoints first."""
    complete = {(folders[reading.path], key) for reading in readings if reading.kind == checkpoint.KIND
                for key in map(_identity, reading.points) if folders[reading.path]}
    result = []
    for reading in readings:
        rest = [point for point in reading.points if (folders[reading.path], _identity(point)) not in complete]
        if reading.kind != analyzer_csv.KIND or len(rest) == len(reading.points):
            result.append(reading)
            continue
        left = len(reading.points) - len(rest)
        remark = f"{reading.path.name}: {left} rows left aside, the checkpoint tells more of them"
        result.append(replace(reading, points=rest, remarks=[remark, *(reading.remarks if rest else [])]))
    return result


def _identity(point: OperatingPoint) -> tuple[object, ...]:
    return (point.model, point.variant, point.batch_size, point.concurrency, point.request_rate_rps, point.co_located)


def _jobs(contents: list[_Content]) -> Iterator[Callable[[], list[Reading]]]:
    """What is to be read: file by file, but Model Analyzer's tables of one folder together."""
    together: dict[Path, list[Table]] = defaultdict(list)
    for content in contents:
        if content.root:
            yield partial(_read_checkpoint, content.root)
        by_kind: dict[str, list[Table]] = defaultdict(list)
        for table in content.tables:
            by_kind[_reader(table)].append(table)
        together[content.path.parent] += by_kind.pop(analyzer_csv.KIND, [])
        yield from (partial(READERS[kind], tables) for kind, tables in by_kind.items() if kind)
        if content.console_text:
            yield partial(console.read_console, content.path, content.console_text)
    yield from (partial(analyzer_csv.read_analyzer_tables, tables) for tables in _groups(together))


def _reader(table: Table) -> str:
    """The kind of a table, "" for any other."""
    if perf_csv.is_perf_table(table):
        return perf_csv.KIND
    if report_table.is_report_table(table):
        return report_table.KIND
    if measurements.REQUIRED[1] in table.units:
        return TABLE_KIND
    return analyzer_csv.KIND if analyzer_csv.is_analyzer_table(table) else ""


def _groups(by_folder: dict[Path, list[Table]]) -> list[list[Table]]:
    """Tables to be joined: those of a folder; GPU tables that lie alone go with all others."""
    by_folder = {folder: tables for folder, tables in by_folder.items() if tables}
    whole = [tables for tables in by_folder.values() if any(map(analyzer_csv.is_inference, tables))]
    lonely = [table for tables in by_folder.values() if tables not in whole for table in tables]
    return [[*tables, *lonely] for tables in whole] or ([lonely] if lonely else [])


def _read_checkpoint(root: Node) -> list[Reading]:
    return [checkpoint.read_checkpoint(root)]


def _read_own_tables(tables: list[Table]) -> list[Reading]:
    return [Reading(table.path, TABLE_KIND, measurements.table_points(table), batch_known="batch_size" in table.units)
            for table in tables]


def _read_perf_tables(tables: list[Table]) -> list[Reading]:
    return [perf_csv.read_perf_table(table) for table in tables]


READERS = {perf_csv.KIND: _read_perf_tables, report_table.KIND: report_table.read_report_tables,
           TABLE_KIND: _read_own_tables}
"""Readers of tables that need no other table."""


def _checked(reading: Reading, given: Given) -> list[OperatingPoint]:
    points = filled(reading, given)
    check_units(reading.path, points)
    return points


def _unsound(points: list[OperatingPoint]) -> list[str]:
    count = sum(not point.is_sound for point in points)
    return [f"{count} of {len(points)} points fail Little's law (throughput x mean latency / (batch x concurrency) is "
            f"outside {SOUND[0]:g} to {SOUND[1]:g}): measured in a window that was cut short; no fit should use them"
            ] if count else []
