"""A sweep from its points: cells side by side, then the tables."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmesim import __version__
from mmesim.parallel import Workers
from mmesim.planner.compare.ranking import rank
from mmesim.planner.runs.cells import Cell, met_of, with_attainment
from mmesim.planner.runs.orders import Order, Steps, carry_out, order_of
from mmesim.planner.sweep.design import paths_of
from mmesim.planner.sweep.points import Point
from mmesim.planner.sweep.tables import known_keys, runs_table, settings_table, summary_table
from mmesim.results.sweep import Sweep
from mmesim.scenario.schema import Scenario

_NO_SKETCH = np.zeros((0, 0), np.int64)


@dataclass(frozen=True)
class SweepPlan:
    """All that a sweep is asked."""

    scenario: Scenario
    """As it stands, with what is set for all points."""
    points: Sequence[Point]
    seeds: int
    """How many, for each point."""
    cells: Path
    """Folder of stored cells."""
    name: str = "sweep"
    command: str = ""
    confidence: float = 0.95
    rank_by: str | None = None
    workers: Workers = field(default_factory=Workers)

    @property
    def numbers(self) -> list[int]:
        """The scenario's seed and those after it: the same for every point."""
        return list(range(self.scenario.seed, self.scenario.seed + self.seeds))

    def orders(self) -> list[tuple[Point, Order]]:
        """All runs, seed by seed: what is stopped early has seen every point."""
        return [(point, order_of(point.contender, seed, self.cells)) for seed in self.numbers for point in self.points
                if point.contender is not None]


def stored(plan: SweepPlan) -> int:
    """Runs that are there already."""
    return sum(file.exists() for file in {order.file for _, order in plan.orders()})


def sweep(plan: SweepPlan, steps: Steps, say: Callable[[str], None]) -> Sweep:
    """Make the cells that are missing, and the tables of all. Raises InputError when a policy misbehaves or a cluster
    is not there; KeyboardInterrupt when stopped: what is finished stays."""
    started_s = time.perf_counter()
    orders = plan.orders()
    if known := stored(plan):
        say(f"{known} of {len({order.file for _, order in orders})} runs are stored already")
    carry_out((order for _, order in orders), plan.workers, "runs", steps)
    return _assembled(plan, orders, known, started_s)


def _assembled(plan: SweepPlan, orders: Sequence[tuple[Point, Order]], known: int, started_s: float) -> Sweep:
    paths = paths_of(point.settings for point in plan.points)
    settings, axes = settings_table(plan.points, paths)
    rows: list[dict[str, Any]] = []
    light: dict[str, list[Cell]] = {}
    for point, order in orders:
        cell = with_attainment(order.scenario.objective, order.load())
        rows.append(_row(point, order, cell))
        light.setdefault(str(point.number), []).append(replace(cell, sketch=_NO_SKETCH, series={}))
    ranking = rank(light, plan.scenario.objective, plan.rank_by)
    runs = runs_table(settings, rows)
    summary = summary_table(settings, runs, known_keys(rows), [int(name) for name in ranking.order], plan.confidence)
    return Sweep(plan.name, plan.command, plan.scenario.resolved(), axes, plan.numbers, plan.confidence, ranking.key,
                 runs, summary, _timing(plan, rows, known, time.perf_counter() - started_s), _versions())


def _row(point: Point, order: Order, cell: Cell) -> dict[str, Any]:
    return {"point": point.number, "seed": order.scenario.seed, "values": cell.values,
            "met_objective": met_of(order.scenario.objective, cell), "invocations": cell.invocations,
            "failed": cell.failed, "wall_s": cell.wall_s, "digest": order.file.stem}


def _timing(plan: SweepPlan, rows: Sequence[Mapping[str, Any]], known: int, wall_s: float) -> dict[str, Any]:
    processes = plan.workers.processes
    made = len({row["digest"] for row in rows}) - known
    return {"wall_s": wall_s, "processes": processes if processes > 0 else os.cpu_count(),
            "cluster": plan.workers.cluster, "runs": len(rows), "stored_before": known,
            "requests": sum(row["invocations"] for row in rows), "runs_per_s": made / wall_s}


def _versions() -> dict[str, str]:
    return {"mmesim": __version__, "python": platform.python_version(), "numpy": np.__version__}
