"""Reads files of one format, puts them together and in order, and lets the trace begin at 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmesim.errors import InputError, Problem, alternatives
from mmesim.workload.importing import alibaba, azure, cloudwatch, columns, locust
from mmesim.workload.importing.columns import Columns
from mmesim.workload.importing.rows import Counts, Notes, Requests
from mmesim.workload.importing.table import first_line, header

FORMATS = ("auto", "azure-functions-2019", "azure-llm-2023", "alibaba-genai", "csv", "cloudwatch", "locust")
SECOND_NS = 1_000_000_000
MINUTE_NS, DAY_NS = 60 * SECOND_NS, 86_400 * SECOND_NS
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user says about the files."""

    format: str = "auto"
    models: tuple[str, ...] = ()
    """Name of each file's model, where the file does not tell; one for all, or one for each."""
    columns: Columns = field(default_factory=Columns)
    period_s: int = 0
    from_midnight: bool = False
    """Time 0 is the midnight (UTC) before the first request, so that hours of the day stay what they are."""
    skip_bad: bool = False


@dataclass(frozen=True, slots=True)
class Imported:
    """The whole trace, sorted, from time 0 on."""

    format: str
    rows: Requests | Counts
    """Counts are per minute, at most one row for a minute and model."""
    begin_ns: int
    """What time 0 was in the files."""
    dropped: dict[str, int]
    remarks: list[str]

    @property
    def requests(self) -> int:
        """Requests in all."""
        return int(self.rows.count.sum()) if isinstance(self.rows, Counts) else len(self.rows.t_ns)


def import_trace(paths: Sequence[Path], wanted: Wanted | None = None, progress: Progress | None = None) -> Imported:
    """Reads the files. Raises InputError with file and line, or with what was possible."""
    wanted = wanted or Wanted()
    notes = Notes(wanted.skip_bad)
    known = _formats(paths, wanted)
    parts: list[Requests | Counts] = []
    for k, (path, model) in enumerate(zip(paths, _models(paths, wanted), strict=True)):
        parts.append(_read(path, known, k, model, wanted, notes, paths))
        if progress:
            progress(k + 1)
    rows = _joined(paths, parts)
    if not len(rows.t_ns):
        raise InputError(Problem("there is no request in it", file=", ".join(map(str, paths)), hint="; ".join(
            f"{reason}: {n} rows" for reason, n in notes.dropped.items()) or "is it the right file?"))
    rows, begin_ns = from_zero(rows, wanted.from_midnight)
    return Imported(known, rows, begin_ns, dict(notes.dropped), notes.remarks)


def recognised(path: Path) -> str:
    """The format of a file by its first line. Raises InputError when it is none."""
    line, cells = ("", header(path)) if path.suffix in (".parquet", ".pq") else (first_line(path), header(path))
    found = [name for name, looks in (
        ("azure-functions-2019", azure.is_functions(cells)), ("azure-llm-2023", azure.is_llm(cells)),
        ("alibaba-genai", alibaba.looks_like(cells)), ("locust", locust.is_history(cells)),
        ("cloudwatch", bool(line) and cloudwatch.looks_like(line, path)), ("csv", columns.looks_like(cells))) if looks]
    if not found:
        raise columns.unknown_format(path, cells, list(FORMATS[1:]))
    return found[0]


def _formats(paths: Sequence[Path], wanted: Wanted) -> str:
    """The one format of all files."""
    for path in paths:
        if not path.is_file():
            beside = [p.name for p in path.parent.glob("*.*")] if path.parent.is_dir() else []
            raise InputError(Problem("there is no such file", file=str(path), hint=alternatives(path.name, beside)))
    if wanted.format != "auto":
        return wanted.format
    if wanted.columns.time:
        return "csv"
    found = {path: recognised(path) for path in paths}
    if len(set(found.values())) > 1:
        raise InputError(Problem(f"{path.name} is {name}", file=str(path), hint="import each format by itself")
                         for path, name in found.items())
    return next(iter(found.values()))


def _models(paths: Sequence[Path], wanted: Wanted) -> list[str]:
    given = wanted.models
    if len(given) not in (0, 1, len(paths)):
        raise InputError(Problem(f"{len(given)} --model for {len(paths)} files", hint="give none, one or one for each"))
    return [*(given if len(given) == len(paths) else (given or ("",)) * len(paths))]


def _read(path: Path, known: str, k: int, model: str, wanted: Wanted, notes: Notes,
          paths: Sequence[Path]) -> Requests | Counts:
    if known == "azure-functions-2019":
        days = [azure.day_in_name(each) for each in paths]
        return azure.read_functions(path, _day(days, k), notes)
    if known == "azure-llm-2023":
        return azure.read_llm(path, model, notes)
    if known == "alibaba-genai":
        return alibaba.read(path, notes)
    if known == "cloudwatch":
        return cloudwatch.read(path, model, wanted.period_s, notes)
    if known == "locust" and locust.is_history(header(path)):
        return locust.read_history(path, model, notes)
    return columns.read(path, wanted.columns, model, notes)


def _day(days: Sequence[int | None], k: int) -> int:
    """Which day a file is, from the first on: by its name, else by its place."""
    numbers = [day for day in days if day is not None]
    return numbers[k] - min(numbers) if len(numbers) == len(days) else k


def _joined(paths: Sequence[Path], parts: Sequence[Requests | Counts]) -> Requests | Counts:
    requests = [part for part in parts if isinstance(part, Requests)]
    counts = [part for part in parts if isinstance(part, Counts)]
    if requests and counts:
        raise InputError(Problem("some files have requests and others counts", file=", ".join(map(str, paths)),
                                 hint="import each kind by itself"))
    if counts:
        return _per_minute([_spread(part) for part in counts])
    shared = [name for name in requests[0].more if all(name in part.more for part in requests)]
    return Requests(np.concatenate([part.t_ns for part in requests]),
                    np.concatenate([part.model for part in requests]),
                    {name: np.concatenate([part.more[name] for part in requests]) for name in shared})


def _spread(part: Counts) -> Counts:
    """Counts of longer periods as evenly over their minutes as whole numbers go."""
    minutes = max(1, part.period_s * SECOND_NS // MINUTE_NS)
    nth = np.tile(np.arange(minutes), len(part.t_ns))
    share = np.repeat(part.count, minutes)
    return Counts(np.repeat(part.t_ns, minutes) + nth * MINUTE_NS, np.repeat(part.model, minutes),
                  (nth + 1) * share // minutes - nth * share // minutes)


def _per_minute(parts: Sequence[Counts]) -> Counts:
    """One row for each minute and model with a request, in that order."""
    names, model = np.unique(np.concatenate([part.model for part in parts]).astype(str), return_inverse=True)
    minute = np.concatenate([part.t_ns for part in parts]) // MINUTE_NS
    count = np.concatenate([part.count for part in parts])
    used = count > 0
    if not used.any():
        return Counts(np.empty(0, np.int64), np.empty(0, object), np.empty(0, np.int64))
    first = minute[used].min()
    cells, row = np.unique((minute[used] - first) * len(names) + model[used], return_inverse=True)
    return Counts((cells // len(names) + first) * MINUTE_NS, names[cells % len(names)].astype(object),
                  np.bincount(row, count[used]).astype(np.int64))


def from_zero(rows: Requests | Counts, from_midnight: bool) -> tuple[Requests | Counts, int]:
    """(the rows in order, from time 0 on; what time 0 was)."""
    first = int(rows.t_ns.min())
    begin_ns = first - first % DAY_NS if from_midnight else first
    if isinstance(rows, Counts):
        return Counts(rows.t_ns - begin_ns, rows.model, rows.count), begin_ns
    order = np.argsort(rows.t_ns, kind="stable")
    return Requests(rows.t_ns[order] - begin_ns, rows.model[order],
                    {name: column[order] for name, column in rows.more.items()}), begin_ns
