"""What the readers of all formats give, and what they leave out.

A row that cannot be understood ends the import with file, line and value, unless it is to be skipped: then it is
counted with its reason. A row that says nothing (no model named, no request) is left out and counted either way.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmesim.errors import InputError, Problem

Ints = NDArray[np.int64]
Texts = NDArray[np.object_]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Requests:
    """One row per request, in any order."""

    t_ns: Ints
    """Since any one moment."""
    model: Texts
    more: dict[str, Texts] = field(default_factory=dict)
    """Further columns, as text."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests in intervals, in any order; intervals of one model may come more than once and add up."""

    t_ns: Ints
    """Beginning of the interval."""
    model: Texts
    count: Ints
    period_s: int = 60


@dataclass(slots=True)
class Notes:
    """What happened on the way: rows left out and remarks."""

    skip_bad: bool = False
    dropped: Counter[str] = field(default_factory=Counter)
    """Reason -> rows."""
    remarks: list[str] = field(default_factory=list)

    def bad(self, path: Path, message: str, *, line: int = 0, hint: str = "") -> None:
        """One row that cannot be understood. Raises InputError unless such rows are skipped."""
        if not self.skip_bad:
            raise InputError(Problem(message, file=str(path), line=line,
                                     hint=f"{hint}; " * bool(hint) + "--skip-bad leaves such rows out and counts them"))
        self.dropped[message.partition(":")[0]] += 1

    def left_out(self, reason: str, rows: int) -> None:
        """Rows that say nothing."""
        if rows:
            self.dropped[reason] += rows
