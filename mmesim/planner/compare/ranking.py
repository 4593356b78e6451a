"""In which order the variants stand: by what the scenario asks for.

* With targets: variants that met them with every seed come first, cheapest first; the rest by the first target's
  number. Those that cost the same are ordered by the first target's number too.
* Without targets: by p99 latency. `rank_by` names another number for all of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmesim.errors import InputError, Problem, alternatives
from mmesim.planner.compare import stats
from mmesim.planner.runs.cells import Cell, met_of
from mmesim.results.comparison import METRICS, Interval, Metric
from mmesim.results.objective import asked
from mmesim.scenario.objective import Objective

COST = "cost.per_hour"
FAILED = "requests.error_rate"
USUAL = "latency.all.p99"
OF_TARGET = {"p50_ms": "latency.all.p50", "p99_ms": USUAL, "warm_p50_ms": "latency.all.p50", "warm_p99_ms": USUAL,
             "error_rate": FAILED, "cold_start_ratio": "cache.hit_ratio", "cost_per_hour": COST}
"""Target, of all requests or of models -> the number that is compared; the first target that is set counts."""
BY_KEY: Mapping[str, Metric] = {metric.key: metric for metric in METRICS}
WHOLE = {"ratio": 1.0, "%": 100.0}
"""Unit of a share -> all of it."""

Cells = Mapping[str, Sequence[Cell]]
"""Variant -> its cells, by seed."""


@dataclass(frozen=True)
class Ranking:
    """Names from best to worst, and by what."""

    order: tuple[str, ...]
    key: str
    """Orders those that met the targets, or all."""
    key_of_missed: str
    """Orders those that did not."""
    met: Mapping[str, bool | None]
    prices: Mapping[str, float | None]
    """Mean cost an hour."""

    def key_of(self, first: str, second: str) -> str:
        """The number that two variants are compared by: the same price tells nothing about them."""
        missed = self.met[first] is False or self.met[second] is False
        tied = self.key == COST and self.prices[first] == self.prices[second]
        return self.key_of_missed if missed or tied else self.key

    def neighbours(self) -> list[tuple[str, str]]:
        """(better, next) from the top."""
        return list(zip(self.order, self.order[1:], strict=False))


def rank(cells: Cells, objective: Objective, rank_by: str | None = None) -> Ranking:
    """The ranking of variants by their means over seeds."""
    met = {name: met_by_all(of_name, objective) for name, of_name in cells.items()}
    target = next((OF_TARGET[target.column or target.name] for target in asked(objective)), USUAL)
    prices = {name: mean(of_name, COST) for name, of_name in cells.items()}
    if rank_by is not None:
        order = sorted(cells, key=lambda name: _badness(cells[name], rank_by))
        return Ranking(tuple(order), rank_by, rank_by, dict.fromkeys(cells), prices)
    key = COST if len({prices[name] for name in cells if met[name]}) > 1 else target
    order = sorted(cells, key=lambda name: (met[name] is False, _badness(cells[name], target if met[name] is False
                                                                         else key), _badness(cells[name], target)))
    return Ranking(tuple(order), key, target, met, prices)


def known_key(key: str) -> str:
    """The key, if variants can be ranked by it. Raises InputError."""
    usable = [metric.key for metric in METRICS if metric.better]
    if key not in usable:
        raise InputError(Problem(f"variants cannot be ranked by {key!r}", hint=alternatives(key, usable, most=20)))
    return key


def values(cells: Sequence[Cell], key: str) -> list[float | None]:
    """One number of each cell."""
    return [cell.values[key] for cell in cells]


def mean(cells: Sequence[Cell], key: str) -> float | None:
    """Mean over the cells that have it."""
    known = [value for value in values(cells, key) if value is not None]
    return math.fsum(known) / len(known) if known else None


def possible(found: Interval | None, metric: Metric) -> Interval | None:
    """The part of an interval that the number can be in: none is negative, and no share is more than the whole."""
    return stats.within(found, 0.0, WHOLE.get(metric.unit, math.inf))


def difference(cells: Sequence[Cell], base: Sequence[Cell], key: str, confidence: float) -> Interval | None:
    """Paired difference of one number, in its unit; shares differ by no more than the whole."""
    most = WHOLE.get(BY_KEY[key].unit, math.inf)
    return stats.within(stats.difference(values(cells, key), values(base, key), confidence), -most, most)


def met_by_all(cells: Sequence[Cell], objective: Objective) -> bool | None:
    """Whether every run met every target; None without any."""
    answers = [met_of(objective, cell) for cell in cells]
    return None if None in answers else all(answers)


def _badness(cells: Sequence[Cell], key: str) -> float:
    value = mean(cells, key)
    return math.inf if value is None else -BY_KEY[key].better * value
