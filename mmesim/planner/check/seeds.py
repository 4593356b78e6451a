"""A scenario's objective, with as many seeds as it takes: looked at after 3, then more often, at most so many times.

Each look spends its part of the chance of a wrong word (:func:`mmesim.planner.compare.stats.confidence_at`), so the
whole check raises a false alarm with a chance of at most 1 - confidence, wherever it stops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmesim.parallel import Workers
from mmesim.planner.check.rule import at_once, status_of, verdicts
from mmesim.planner.compare.stats import confidence_at, each_at, looks
from mmesim.planner.runs.contender import Contender
from mmesim.planner.runs.orders import Order, Steps, carry_out, order_of
from mmesim.results.objective import Target, asked, measured
from mmesim.results.plan import Status, TargetFound
from mmesim.scenario.schema import Scenario


@dataclass(frozen=True)
class Question:
    """What is checked."""

    scenario: Scenario
    """With the first seed; the others come after it."""
    most: int
    """Seeds, at most; 1: the run is judged as it is."""
    confidence: float
    cells: Path
    """Folder of stored runs."""
    workers: Workers = field(default_factory=Workers)

    @property
    def targets(self) -> tuple[Target, ...]:
        """What is asked."""
        return asked(self.scenario.objective)

    def orders(self, n: int) -> list[Order]:
        """The runs of the first `n` seeds."""
        contender, first = Contender(self.scenario.name, {}, self.scenario), self.scenario.seed
        return [order_of(contender, seed, self.cells) for seed in range(first, first + n)]


@dataclass(frozen=True)
class Checked:
    """The answer."""

    targets: Sequence[TargetFound]
    values: Mapping[str, Sequence[float | None]]
    """Target name -> its value with each seed."""
    seeds: Sequence[int]
    confidence: float
    """Of the whole answer."""
    each: float
    """Of each bound: what this look, and as many targets, leave of it."""

    @property
    def status(self) -> Status:
        """Missed when one target is, met when all are, else open: within the noise."""
        return status_of(self.targets)


def check(question: Question, steps: Steps) -> Checked:
    """Adds seeds until the objective is met or missed beyond the noise; runs that are stored are not made again."""
    for look, n in enumerate(looks(question.most)):
        carry_out(question.orders(n), question.workers, f"check, {n} seeds", steps)
        checked = _judged(question, n, confidence_at(look, question.most, question.confidence))
        if checked.status != "open":
            break
    return checked


def _judged(question: Question, n: int, confidence: float) -> Checked:
    cells, targets = [order.load() for order in question.orders(n)], question.targets
    values = {target.name: [measured(target, cell.values, cell.models) for cell in cells] for target in targets}
    found = [at_once(target, *values[target.name]) for target in targets] if question.most == 1 else \
        verdicts(targets, values, confidence)
    return Checked(found, values, [order.scenario.seed for order in question.orders(n)], question.confidence,
                   each_at(confidence, len(targets)))
