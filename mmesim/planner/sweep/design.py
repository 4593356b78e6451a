"""Which points a sweep has: a grid, a random design, a list of one's own, or every combination of these.

Random designs are space-filling, so that few points say much about many settings: a Latin hypercube (McKay, Beckman
and Conover, Technometrics 21, 1979: each setting takes each of N equal parts of its range once), or Sobol's sequence
(Sobol, USSR Comput. Math. Math. Phys. 7, 1967, scrambled), of which more points keep the first ones. They are drawn
from a stream of the scenario's seed: the same command has the same points.
"""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, product
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mmesim.core.streams import stream
from mmesim.errors import InputError, Problem
from mmesim.planner.runs.axes import Axis, axes, bounds, settable

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 100_000
"""Points: they are loaded and checked before anything runs, and kept in memory (20 kB each)."""
KINDS = ("latin", "sobol")
"""Of random designs."""

Settings = dict[str, str]
"""Setting path -> value as written: one point."""


class Drawn(Protocol):
    """A setting of a random design."""

    path: str

    def at(self, u: float) -> str:
        """Its value, as written, at a number of [0, 1)."""


@dataclass(frozen=True)
class Range:
    """``path=low..high[,log][,int][,unit]``."""

    path: str
    low: float
    high: float
    unit: str = ""
    is_log: bool = False
    is_int: bool = False

    def at(self, u: float) -> str:
        """Its value at a number of [0, 1)."""
        low, high = (self.low - 0.5, self.high + 0.5) if self.is_int else (self.low, self.high)
        value = low * (high / low) ** u if self.is_log else low + u * (high - low)
        if self.is_int:
            return f"{min(max(round(value), round(self.low)), round(self.high))}{self.unit}"
        return f"{Decimal(f'{value:.6g}'):f}{self.unit}"


@dataclass(frozen=True)
class Choice:
    """``path=a,b``: each as often as the others."""

    path: str
    values: tuple[str, ...]

    def at(self, u: float) -> str:
        """Its value at a number of [0, 1)."""
        return self.values[int(u * len(self.values))]


def design(*, vary: Sequence[str] = (), ranges: Sequence[str] = (), choices: Sequence[str] = (), random: int = 0,
           kind: str = "latin", file: Path | None = None, seed: int = 0) -> list[Settings]:
    """The points, in order. Raises InputError with what is wrong with an option, or when there are none or too many."""
    varied = axes(vary)
    drawn = [*map(_range, ranges), *(Choice(axis.path, axis.values) for axis in axes(choices, "--choice"))]
    listed = [{}] if file is None else _listed(file)
    _check(varied, drawn, listed, random, kind)
    drawings = _drawn(drawn, random, kind, seed) if drawn else [{}]
    grid = product(*([(axis.path, value) for value in axis.values] for axis in varied))
    return [{**given, **taken, **dict(each)} for each in grid for taken in drawings for given in listed]


def _check(varied: Sequence[Axis], drawn: Sequence[Drawn], listed: Sequence[Settings], random: int,
           kind: str) -> None:
    paths = [*(axis.path for axis in varied), *(one.path for one in drawn), *listed[0]]
    if twice := [path for path in paths if paths.count(path) > 1]:
        raise InputError(Problem(f"{twice[0]} is given twice", hint="name each setting in one option"))
    if not paths:
        raise InputError(Problem("nothing to sweep", hint="name settings and values, e.g. --vary "
                                                          "endpoint.instances=1..4, or --random 50 --range …"))
    if bool(drawn) != bool(random):
        raise InputError(Problem("--random N needs --range or --choice" if random else
                                 "--range and --choice need --random", hint="e.g. --random 50 --range "
                                 "endpoint.instances=1..8,int"))
    if kind not in KINDS:
        raise InputError(Problem(f"there is no design {kind!r}", file="--design", hint=f"known: {', '.join(KINDS)}"))
    points = math.prod(len(axis.values) for axis in varied) * max(random, 1) * len(listed)
    if points > MOST:
        raise InputError(Problem(f"{points:,} points", hint=f"at most {MOST:,}: fewer values, or a random design "
                                                            "(--random N)"))


def _range(text: str) -> Range:
    """``path=low..high``, and after commas: log, int, the unit of the numbers."""
    origin = f"--range {text}"
    path, equals, written = text.partition("=")
    between, *words = [part.strip() for part in written.split(",")]
    if not equals or not path.strip():
        raise InputError(Problem("is not a setting and its range", file=origin, hint="write path=low..high"))
    low, high, unit = bounds(between, origin)
    is_log, is_int = "log" in words, "int" in words
    units = [word for word in words if word not in ("log", "int")]
    if low >= high or (is_log and low <= 0) or len(units) > (0 if unit else 1):
        raise InputError(Problem(f"{written} is no range to draw from", file=origin,
                                 hint="write low..high with low < high (log: above 0), then log, int, one unit"))
    if is_int and (low % 1 or high % 1):
        raise InputError(Problem(f"{between} does not begin and end with whole numbers", file=origin))
    return Range(settable(path.strip(), origin), float(low), float(high), unit or "".join(units), is_log, is_int)


def _drawn(drawn: Sequence[Drawn], n: int, kind: str, seed: int) -> list[Settings]:
    return [{one.path: one.at(float(u)) for one, u in zip(drawn, row, strict=True)}
            for row in _unit_points(len(drawn), n, kind, seed)]


def _unit_points(dimensions: int, n: int, kind: str, seed: int) -> NDArray[np.float64]:
    """(n, dimensions) in [0, 1)."""
    from scipy.stats import qmc

    rng = np.random.default_rng(stream(seed, "sweep", kind).integers(2**63))  # scipy wants one that it can spawn from
    if kind == "latin":
        return qmc.LatinHypercube(dimensions, seed=rng).random(n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a power of two would be balanced better
        return qmc.Sobol(dimensions, seed=rng).random(n)


def _listed(file: Path) -> list[Settings]:
    """A point a line of a CSV file, a setting a column; an empty field leaves the setting as it is."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            rows = list(csv.reader(opened))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(Problem(f"cannot be read: {error}", file=f"--points {file}")) from None
    if len(rows) < 2 or not all(path.strip() for path in rows[0]):
        raise InputError(Problem("has no points", file=str(file),
                                 hint="write the settings' paths in the first line, a point in each line below"))
    paths = [settable(path.strip(), str(file)) for path in rows[0]]
    wrong = [Problem(f"has {len(row)} fields, the head has {len(paths)}", file=str(file), line=line)
             for line, row in enumerate(rows[1:], 2) if row and len(row) != len(paths)]
    if wrong or len(set(paths)) < len(paths):
        raise InputError(wrong or Problem("names a setting twice", file=str(file), line=1))
    return [{path: value.strip() for path, value in zip(paths, row, strict=True) if value.strip()}
            for row in rows[1:] if row]


def paths_of(points: Iterable[Settings]) -> list[str]:
    """The settings of a design, in order."""
    return list(dict.fromkeys(chain.from_iterable(points)))
