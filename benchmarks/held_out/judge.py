"""Runs of the held-out part and what they say: each target with its interval over seeds, and the cost of a month.

The seeds are others than the planner's. Stored cells make it resumable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmesim.parallel import Workers
from mmesim.planner.check import status_of, verdicts
from mmesim.planner.runs.contender import Contender
from mmesim.planner.runs.orders import Steps, carry_out, order_of
from mmesim.results.comparison import Interval
from mmesim.results.comparison_interval import interval
from mmesim.results.fleet import HOURS_PER_MONTH
from mmesim.results.objective import asked, measured
from mmesim.results.plan import Status, TargetFound
from mmesim.scenario.load import load_scenario

FIRST_SEED = 1001
CONFIDENCE = 0.95
ANY = "checks={intended_overload: true, hopeless_objective: true}"


@dataclass(frozen=True)
class Judged:
    """A configuration on the held-out part."""

    name: str
    status: Status
    targets: Sequence[TargetFound]
    cost_per_month: Interval
    instances: Interval
    """Mean over the time."""
    most: float
    """Instances at once at most, over the seeds."""


@dataclass(frozen=True)
class Court:
    """Where configurations are judged."""

    scenario: Path
    overrides: Sequence[str]
    cells: Path
    seeds: int
    workers: Workers
    steps: Steps

    def judge(self, entries: Sequence[tuple[str, Sequence[str]]]) -> list[Judged]:
        """Run all of them (name, settings), side by side, and judge each. Raises InputError."""
        contenders = [Contender(name, {}, load_scenario(str(self.scenario), [*self.overrides, ANY, *settings]))
                      for name, settings in entries]
        orders = [[order_of(one, FIRST_SEED + seed, self.cells) for seed in range(self.seeds)] for one in contenders]
        carry_out([order for own in orders for order in own], self.workers, "judging", self.steps)
        return [self._judged(one, [order.load() for order in own]) for one, own in zip(contenders, orders, strict=True)]

    def _judged(self, one: Contender, cells: Sequence) -> Judged:
        targets = asked(one.scenario.objective)
        values = {target.name: [measured(target, cell.values, cell.models) for cell in cells] for target in targets}
        found = verdicts(targets, values, CONFIDENCE)
        cost = _mean([cell.values["cost.per_hour"] * HOURS_PER_MONTH for cell in cells])
        return Judged(one.name, status_of(found), found, cost, _mean([cell.values["instances.mean"] for cell in cells]),
                      max(cell.values["instances.max"] for cell in cells))


def _mean(values: Sequence[float]) -> Interval:
    found = interval(values, CONFIDENCE)
    assert found
    return found
