"""A comparison from its plan: cells side by side, seeds as many as it takes, all put together at the end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmesim.parallel import Workers
from mmesim.planner.compare import assemble, stats
from mmesim.planner.compare.curve import Point, curve, points
from mmesim.planner.compare.ranking import rank
from mmesim.planner.compare.variants import Contender
from mmesim.planner.compare.verdicts import INDIFFERENCE, all_told_apart, claims, sentences
from mmesim.planner.runs.cells import Cell, with_attainment
from mmesim.planner.runs.orders import Order, Steps, carry_out, order_of
from mmesim.results.comparison import Comparison


@dataclass(frozen=True)
class Plan:
    """All that a comparison is asked."""

    contenders: Sequence[Contender]
    """Baseline first (:func:`mmesim.planner.compare.variants.contenders`)."""
    seeds: int
    """How many; at most, when `until_decided`."""
    cells: Path
    """Folder of stored cells."""
    name: str = "compare"
    command: str = ""
    confidence: float = 0.95
    until_decided: bool = False
    """Seeds are added until neighbours in the ranking are told apart, or alike."""
    indifference: float = INDIFFERENCE
    rank_by: str | None = None
    memory: Sequence[float] = ()
    """Points of the miss-ratio curve; none: no curve."""
    workers: Workers = field(default_factory=Workers)

    @property
    def baseline(self) -> str:
        return self.contenders[0].name

    def numbers(self, n: int) -> list[int]:
        """The first `n` seeds: the scenario's and those after it."""
        first = self.contenders[0].scenario.seed
        return list(range(first, first + n))

    def runs(self, seeds: Sequence[int]) -> list[Order]:
        """All runs with these seeds."""
        return [order_of(contender, seed, self.cells) for seed in seeds for contender in self.contenders]

    def bounds(self, seeds: Sequence[int]) -> list[Order]:
        """The bounds of their requests, in the same order."""
        return [order_of(contender, seed, self.cells, wants_bound=True)
                for seed in seeds for contender in self.contenders]

    def everything(self, seeds: Sequence[int]) -> list[Order]:
        """Runs and bounds, seed by seed: what is stopped early has whole seeds."""
        return [order for seed in seeds for order in (*self.runs([seed]), *self.bounds([seed]))]


def compare(plan: Plan, steps: Steps, say: Callable[[str], None]) -> Comparison:
    """Make the cells that are missing and compare. Raises InputError when a policy misbehaves; KeyboardInterrupt
    when stopped (`finished` then tells what there is)."""
    started_s = time.perf_counter()
    known = _stored(plan, plan.numbers(plan.seeds))
    if known:
        say(f"{known} of {plan.seeds * len(plan.contenders)} runs are stored already")
    seeds, confidence = _measured(plan, steps)
    of_curve = points(plan.contenders, plan.memory, seeds, plan.cells) if plan.memory else []
    carry_out([order for point in of_curve for order in point.orders], plan.workers, "memory", steps)
    return _assembled(plan, seeds, confidence, of_curve, known, time.perf_counter() - started_s)


def finished(plan: Plan) -> Comparison | None:
    """The comparison of the seeds that every variant is finished with; None when there is none."""
    seeds = []
    for seed in plan.numbers(plan.seeds):
        if any(order.load() is None for order in plan.everything([seed])):
            break
        seeds.append(seed)
    return _assembled(plan, seeds, plan.confidence, [], 0, 0.0) if seeds else None


def _stored(plan: Plan, seeds: Sequence[int]) -> int:
    return sum(order.file.exists() for order in plan.runs(seeds))


def _measured(plan: Plan, steps: Steps) -> tuple[list[int], float]:
    """The seeds that were run, and the confidence of the claims made of them together."""
    if not plan.until_decided:
        seeds = plan.numbers(plan.seeds)
        carry_out(plan.everything(seeds), plan.workers, "runs", steps)
        return seeds, plan.confidence
    for look, n in enumerate(stats.looks(plan.seeds)):
        confidence = stats.confidence_at(look, plan.seeds, plan.confidence)
        seeds = plan.numbers(n)
        carry_out(plan.everything(seeds), plan.workers, f"runs, {n} seeds", steps)
        if _decided(plan, seeds, confidence):
            break
    return seeds, confidence


def _decided(plan: Plan, seeds: Sequence[int], confidence: float) -> bool:
    cells = _gathered(plan, seeds).cells
    ranking = rank(cells, plan.contenders[0].scenario.objective, plan.rank_by)
    return all_told_apart(ranking, claims(cells, ranking, plan.baseline, confidence, plan.indifference))


def _gathered(plan: Plan, seeds: Sequence[int]) -> assemble.Gathered:
    cells: dict[str, list[Cell]] = {one.name: [] for one in plan.contenders}
    bounds: dict[str, list[dict[str, Any]]] = {one.name: [] for one in plan.contenders}
    for order in plan.runs(seeds):
        cells[order.variant].append(with_attainment(plan.contenders[0].scenario.objective, order.load()))
    for order in plan.bounds(seeds):
        bounds[order.variant].append(order.load())
    known = {name: found for name, found in bounds.items() if all(found)}
    return assemble.Gathered(plan.contenders, seeds, cells, known, plan.confidence)


def _assembled(plan: Plan, seeds: list[int], confidence: float, of_curve: Sequence[Point], known: int,
               wall_s: float) -> Comparison:
    gathered = _gathered(plan, seeds)
    base = plan.contenders[0].scenario
    ranking = rank(gathered.cells, base.objective, plan.rank_by)
    made = claims(gathered.cells, ranking, plan.baseline, confidence, plan.indifference)
    return Comparison(
        name=plan.name, command=plan.command, scenario=base.resolved(), confidence=plan.confidence, seeds=seeds,
        metrics=gathered.metrics(), ranked_by=ranking.key, variants=assemble.variants(gathered, ranking),
        bound=assemble.bound(gathered), verdicts=sentences(made),
        cells=assemble.cell_table(gathered), models=assemble.mean_table(gathered, "models", "model"),
        series=assemble.mean_table(gathered, "series", "t_s"), curve=curve(of_curve, plan.confidence),
        timing=_timing(plan, gathered, known, wall_s))


def _timing(plan: Plan, gathered: assemble.Gathered, known: int, wall_s: float) -> dict[str, Any]:
    every = [cell for of_name in gathered.cells.values() for cell in of_name]
    requests, run_s = sum(cell.invocations for cell in every), sum(cell.wall_s for cell in every)
    processes = plan.workers.processes
    return {"wall_s": wall_s, "processes": processes if processes > 0 else os.cpu_count(),
            "runs": len(every), "stored_before": known, "requests": requests,
            "requests_per_s": requests / run_s if run_s else None}
