"""From cells to the comparison: means over seeds, paired differences, regret, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mmesim.planner.compare import stats
from mmesim.planner.compare.ranking import BY_KEY, Cells, Ranking, difference, met_by_all, possible, values
from mmesim.planner.compare.regret import BOUND_KEYS, Measure, exceptions, measure, regret
from mmesim.planner.compare.variants import Contender
from mmesim.results.comparison import METRICS, Bound, Interval, Metric, Variant
from mmesim.results.comparison_interval import interval

if TYPE_CHECKING:
    from pandas import DataFrame

BOUND_NAME = "best possible"

Bounds = Mapping[str, Sequence[Mapping[str, Any]]]
"""Variant -> the `RequestBound` of its requests, by seed; a variant without one is absent."""


@dataclass(frozen=True)
class Gathered:
    """All cells of a comparison."""

    contenders: Sequence[Contender]
    """Baseline first."""
    seeds: Sequence[int]
    cells: Cells
    bounds: Bounds
    confidence: float

    @property
    def baseline(self) -> str:
        return self.contenders[0].name

    @cached_property
    def measures(self) -> dict[str, Measure]:
        """Variant -> which bounds hold for it; one without a bound is absent."""
        return {one.name: measure(one, self.cells[one.name], self.bounds[one.name])
                for one in self.contenders if one.name in self.bounds}

    def metrics(self) -> list[Metric]:
        """Those that exist in some cell."""
        return [metric for metric in METRICS
                if any(cell.values[metric.key] is not None for of_name in self.cells.values() for cell in of_name)]


def variants(gathered: Gathered, ranking: Ranking) -> list[Variant]:
    """The baseline, then from best to worst."""
    by_name = {one.name: one for one in gathered.contenders}
    names = [gathered.baseline, *(name for name in ranking.order if name != gathered.baseline)]
    return [_variant(gathered, by_name[name]) for name in names]


def _variant(gathered: Gathered, contender: Contender) -> Variant:
    name, confidence = contender.name, gathered.confidence
    ours, theirs = gathered.cells[name], gathered.cells[gathered.baseline]
    keys = [metric.key for metric in gathered.metrics()]
    against = [] if name == gathered.baseline else keys
    return Variant(
        name=name, settings=contender.settings,
        values=_known({key: possible(interval(values(ours, key), confidence), BY_KEY[key]) for key in keys}),
        differences=_known({key: difference(ours, theirs, key, confidence) for key in against}),
        relative=_known({key: stats.relative(values(ours, key), values(theirs, key), confidence) for key in against}),
        sketch=np.sum([cell.sketch for cell in ours], axis=0),
        regret=_regret(gathered, name), met_objective=met_by_all(ours, gathered.contenders[0].scenario.objective))


def _known(intervals: Mapping[str, Interval | None]) -> dict[str, Interval]:
    return {key: found for key, found in intervals.items() if found is not None}


def _regret(gathered: Gathered, name: str) -> dict[str, Interval]:
    """Distances to the bounds of the variant's own requests and memory."""
    if name not in gathered.measures:
        return {}
    return regret(gathered.measures[name], gathered.cells[name], gathered.bounds[name], gathered.confidence)


def bound(gathered: Gathered) -> Bound | None:
    """The baseline's requests and memory at their best."""
    if gathered.baseline not in gathered.bounds:
        return None
    best = gathered.bounds[gathered.baseline]
    bounds = {key: interval([one[name] for one in best], gathered.confidence) for key, name in BOUND_KEYS.items()}
    return Bound(BOUND_NAME, _known({key: possible(found, BY_KEY[key]) for key, found in bounds.items()}),
                 best[0]["note"], exceptions(list(gathered.measures.values())))


# ---- tables


def cell_table(gathered: Gathered) -> DataFrame:
    """Every run: variant, seed, one column a metric."""
    import pandas as pd

    keys = [metric.key for metric in gathered.metrics()]
    rows: list[dict[str, Any]] = [
        {"variant": name, "seed": seed, **{key: np.nan if cell.values[key] is None else cell.values[key]
                                           for key in keys}}
        for name, of_name in gathered.cells.items() for seed, cell in zip(gathered.seeds, of_name, strict=True)]
    return pd.DataFrame(rows)


def mean_table(gathered: Gathered, part: str, key: str) -> DataFrame:
    """Means over seeds of the cells' ``models`` or ``series``, one row for each value of `key`, variant by variant."""
    import pandas as pd

    tables = []
    for name, of_name in gathered.cells.items():
        each = pd.concat([pd.DataFrame(getattr(cell, part)) for cell in of_name])
        means = each.groupby(key, sort=False, as_index=False).mean()
        means.insert(0, "variant", name)
        tables.append(means)
    return pd.concat(tables, ignore_index=True)


