"""Runs one case on one plane and keeps everything that another plane has to repeat bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mmesim.core.residency import ResidencyTable
from mmesim.dataplane.api import DataPlane, Stop
from mmesim.dataplane.counters import Counters
from reference.cases import Case
from reference.standin import Standin

PlaneFactory = Callable[..., DataPlane]


def run_case(make_plane: PlaneFactory, case: Case) -> list[Any]:
    """The protocol of a run, as plain values in order: stops with the table at each, counters, records, the end."""
    table = case.table()
    routing, admission = case.policies()
    plane = make_plane(case.plane_spec(), table, routing, admission, case.arrivals(), case.users())
    log: list[Any] = []
    control = Standin(case, table, plane, log)
    _drive(plane, control, case.end_ns(), table, log)
    plane.check()
    log += [plane.take(), plane.take_records(), plane.model_counters(), plane.model_sketches(), plane.in_flight(),
            plane.in_flight_age_ns(), plane.idle(), table_rows(table)]
    return [plain(entry) for entry in log]


def _drive(plane: DataPlane, control: Standin, end_ns: int, table: ResidencyTable, log: list[Any]) -> None:
    """As an engine does: the plane goes first to the time of each control event; stops are answered at once."""
    while plane.now_ns < end_ns:
        stopped = plane.advance(min(control.next_ns(), end_ns))
        log.append((stopped, plane.now_ns))
        if stopped.stop is not Stop.HORIZON:
            log.append(table_rows(table))
            control.answer(stopped)
        elif plane.now_ns < end_ns:
            control.act()


def table_rows(table: ResidencyTable) -> list[Any]:
    """All that the table holds, row by row."""
    return [table.copies.tolist(), table.models.tolist(), table.instances.tolist(), table.ready.tolist()]


def plain(entry: Any) -> Any:
    """An entry in a form that is compared by value and printed in full."""
    if isinstance(entry, Counters):
        return (entry.since_ns, entry.until_ns, named(entry.endpoint), [named(row) for row in entry.instances],
                sparse(entry.sketch))
    if isinstance(entry, np.ndarray) and entry.dtype.names:
        return [named(row) for row in entry]
    if isinstance(entry, np.ndarray):
        return sparse(entry)
    return entry


def named(row: np.void) -> dict[str, Any]:
    """A record by field."""
    return {name: row[name].tolist() for name in row.dtype.names}


def sparse(counts: np.ndarray) -> list[tuple[int, ...]]:
    """Where a matrix is not zero, and with what."""
    return [(*(int(axis) for axis in where), int(counts[tuple(where)])) for where in np.argwhere(counts)]


def first_difference(one: list[Any], other: list[Any]) -> str | None:
    """Where two protocols part, in words; None when they are equal."""
    for number, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return f"entry {number}: {_parts(left, right)}\nafter {one[max(0, number - 2):number]}"
    return None if len(one) == len(other) else f"{len(one)} entries against {len(other)}"


def _parts(left: Any, right: Any) -> str:
    if isinstance(left, dict) and isinstance(right, dict):
        return "; ".join(f"{key}: {left[key]} | {right.get(key)}" for key in left if left[key] != right.get(key))
    if type(left) is type(right) and isinstance(left, list | tuple) and len(left) == len(right):
        return next(f"[{at}] {_parts(a, b)}" for at, (a, b) in enumerate(zip(left, right, strict=True)) if a != b)
    return f"{left} | {right}"
