"""How explanations speak: simulated times, instances by number, rows of numbers, a small Gantt chart of text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmesim.errors import InputError, Problem, alternatives
from mmesim.units import NS_PER_S, format_duration, ns, parse_duration_s, seconds

CHART = 40
"""Characters of a chart's time axis."""


def clock(at_ns: int | None) -> str:
    """A simulated time: ``1h 02m 03.250s``; to the millisecond."""
    if at_ns is None or at_ns < 0:
        return "never"
    thousandths = round(at_ns / 1e6)
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    second = f"{rest / 1000:06.3f}".removesuffix(".000") + "s"
    return f"{hours}h {minutes:02}m {second}" if hours else f"{minutes}m {second}"


def lasting(time_ns: float) -> str:
    """A duration."""
    return format_duration(time_ns / NS_PER_S)


def parse_time(text: str, option: str = "--at") -> int:
    """A simulated time in ns: ``1h2m``, ``90s``, ``1h 02m 03s``. Raises InputError with what was possible."""
    try:
        at_ns = ns(parse_duration_s(text))
    except ValueError as error:
        raise InputError(Problem(str(error), path=option, hint="a simulated time, e.g. 1h2m or 90s")) from error
    if at_ns < 0:
        raise InputError(Problem(f"{text} lies before the run's beginning", path=option))
    return at_ns


def model_number(models: Sequence[str], name: str) -> int:
    """Number of a model. Raises InputError with the nearest name."""
    if name not in models:
        raise InputError(Problem(f"this run has no model {name!r}", hint=alternatives(name, models)))
    return models.index(name)


class Instances:
    """Slots and numbers: slots are reused and stand in the journal, numbers are not and stand in reports."""

    def __init__(self, fleet: Sequence[Mapping[str, Any]]) -> None:
        self._lives = sorted(fleet, key=lambda life: life["number"])

    def number(self, slot: int, at_ns: int) -> int:
        """The instance that was in the slot."""
        there = [life["number"] for life in self._lives if life["slot"] == slot and life["launched_ns"] <= at_ns]
        return int(there[-1]) if there else -1

    def slot(self, number: int) -> int:
        """Where an instance stood. Raises InputError when there was none of this number."""
        known = {int(life["number"]): int(life["slot"]) for life in self._lives}
        if number not in known:
            raise InputError(Problem(f"this run had no instance {number}", path="--instance",
                                     hint=f"there were 0 to {max(known, default=0)}"))
        return known[number]

    def launched(self, joined_ns: int) -> int | None:
        """When the instance that joined then was launched."""
        return next((int(life["launched_ns"]) for life in self._lives if life["joined_ns"] == joined_ns), None)


def bar(start_ns: int, length_ns: int, total_ns: int) -> str:
    """One row of a chart: where a part lies within the whole."""
    first = min(CHART - 1, CHART * start_ns // max(1, total_ns))
    last = max(first + 1, round(CHART * (start_ns + length_ns) / max(1, total_ns)))
    return ("·" * first + "█" * (last - first)).ljust(CHART, "·")[:CHART]


def columns(rows: Iterable[Sequence[str]], *, right: Sequence[int] = (), indent: str = "  ") -> list[str]:
    """Rows of text with their columns below each other; `right`: columns that stand to the right."""
    table = [list(row) for row in rows]
    if not table:
        return []
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    cells = [[cell.rjust(width) if n in right else cell.ljust(width)
              for n, (cell, width) in enumerate(zip(row, widths, strict=True))] for row in table]
    return [(indent + "  ".join(row)).rstrip() for row in cells]


def several(names: Sequence[str], most: int = 6) -> str:
    """``a, b and 3 more``."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def in_seconds(value: Any) -> Any:
    """The same for JSON: every ``*_ns`` as ``*_s``, in lists and mappings within too."""
    if isinstance(value, Mapping):
        return {f"{key.removesuffix('_ns')}_s" if str(key).endswith("_ns") else key:
                seconds(each) if str(key).endswith("_ns") and each is not None else in_seconds(each)
                for key, each in value.items()}
    return [in_seconds(each) for each in value] if isinstance(value, list | tuple) else value
