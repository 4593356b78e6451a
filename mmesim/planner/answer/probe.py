"""Variations of a candidate: what would be if one thing were different.

They are simulated at the cheapest level that can tell: the busiest time where the candidate has been simulated both
there and whole, with the difference of the two taken over; else whole. Where the objective has to hold with a loss,
each variation is judged with that loss too. All variations run with the same seeds as the candidate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from mmesim.planner.plan.bench import Bench
from mmesim.planner.plan.decide import lost, survives
from mmesim.planner.plan.trial import Level, Trial
from mmesim.planner.runs.cells import Cell
from mmesim.planner.runs.contender import Contender
from mmesim.planner.runs.orders import Order, order_of
from mmesim.results.objective import Target
from mmesim.scenario.schema import Scenario

SEEDS = 2
"""Of each variation, unless one is enough."""


def as_it_is(scenario: Scenario) -> Scenario:
    """No change."""
    return scenario


@dataclass(frozen=True)
class Variation:
    """One thing that is different."""

    changed: Callable[[Scenario], Scenario] = as_it_is
    scaled: Mapping[str, float] = field(default_factory=dict)
    """Resources (:mod:`mmesim.planner.runs.scaled`)."""
    trial: Trial | None = None
    """Another candidate to vary; None: the probe's."""


@dataclass(frozen=True)
class Seen:
    """What a variation did: by target name, as foretold for the whole run."""

    values: Mapping[str, float | None]
    excesses: Mapping[str, float]

    @property
    def met(self) -> bool:
        """Every target."""
        return all(one <= 0 for one in self.excesses.values())

    @property
    def worst(self) -> str:
        """The target with the largest excess."""
        return max(self.excesses, key=lambda name: self.excesses[name])


@dataclass(frozen=True)
class Probe:
    """Varies one candidate that has whole runs."""

    bench: Bench
    trial: Trial
    most_seeds: int = SEEDS

    @cached_property
    def level(self) -> Level:
        """Where the variations are simulated."""
        return Level.BUSIEST if self.bench.busiest_is_worth else Level.WHOLE

    def see(self, variations: Sequence[Variation], what: str) -> list[Seen]:
        """What each of them does; all are simulated side by side."""
        own = [*self._orders(Variation()), *self.bench.orders(self.trial, Level.WHOLE, range(self._seeds))]
        self.bench.run([*own, *(order for one in variations for order in self._orders(one))], what)
        return [self._seen(one) for one in variations]

    @property
    def _seeds(self) -> int:
        most = 1 if self.level is Level.BUSIEST else self.most_seeds  # long runs say the same with every seed
        return min(most, self.trial.seeds) or 1

    def _levels(self) -> Iterator[tuple[Level, str]]:
        yield self.level, ""
        if survives(self.bench):
            yield Level.LOSS, f", {lost(self.bench)}"

    def _orders(self, variation: Variation) -> list[Order]:
        return [order for level, _ in self._levels() for order in self._at(level, variation)]

    def _at(self, level: Level, variation: Variation) -> list[Order]:
        trial, first = variation.trial or self.trial, self.bench.question.scenario.seed
        whole = trial.contender(level)
        scenario = variation.changed(whole.scenario)
        contender = whole if scenario is whole.scenario else Contender(trial.name, trial.settings, scenario)
        return [order_of(contender, first + seed, self.bench.cells, scaled=variation.scaled)
                for seed in range(self._seeds)]

    def _seen(self, variation: Variation) -> Seen:
        values: dict[str, float | None] = {}
        excesses: dict[str, float] = {}
        for level, suffix in self._levels():
            cells = [self.bench.cell(order) for order in self._at(level, variation)]
            for target in self.bench.targets:
                shift = self._shift(target) if level is Level.BUSIEST else 0.0
                found = float(np.mean([self.bench.excess(target, cell) for cell in cells])) + shift
                excesses[target.name + suffix] = found
                values[target.name + suffix] = self._value(target, cells, shift)
        return Seen(values, excesses)

    def _shift(self, target: Target) -> float:
        """The whole run's excess above that of the busiest time, for the candidate itself."""
        pairs = zip(self.bench.orders(self.trial, Level.WHOLE, range(self._seeds)),
                    self._at(Level.BUSIEST, Variation()), strict=True)
        differences = [self._excess(target, whole) - self._excess(target, part) for whole, part in pairs]
        mean = float(np.mean(differences))
        return mean if math.isfinite(mean) else 0.0

    def _excess(self, target: Target, order: Order) -> float:
        return self.bench.excess(target, self.bench.cell(order))

    def _value(self, target: Target, cells: Sequence[Cell], shift: float) -> float | None:
        """Mean value, moved as the excess is."""
        values = [value for value in self.bench.values(target, cells) if value is not None and math.isfinite(value)]
        return float(np.mean(values)) * math.exp(shift) if values else None


