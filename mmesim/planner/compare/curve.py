"""The miss-ratio curve: hit ratio against memory, variant by variant, and the bound's.

Only the memory that the models may fill is scaled (device memory, or host memory on a CPU endpoint); everything else of
the instance stays as it is. At 100 % the runs are those of the comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmesim.planner.compare import stats
from mmesim.planner.compare.assemble import BOUND_NAME
from mmesim.planner.compare.variants import Contender
from mmesim.planner.runs.orders import Order, order_of
from mmesim.results.comparison import Interval
from mmesim.results.comparison_interval import interval
from mmesim.scenario.references import resolve
from mmesim.scenario.room import instance_spec

if TYPE_CHECKING:
    from pandas import DataFrame

SEEDS = 3
"""Of the comparison's seeds; fewer than the comparison has, for a curve is many runs."""
USUAL = (0.25, 0.5, 1.0, 2.0)
COLUMNS = ("variant", "memory_fraction", "memory_bytes", "hit_ratio", "low", "high")


@dataclass(frozen=True)
class Point:
    """One variant (or the bound) at one size of memory."""

    name: str
    fraction: float
    memory_bytes: int
    orders: Sequence[Order]
    """One a seed."""

    def hit_ratios(self) -> list[float | None]:
        """One of each seed; what is stored is read."""
        loaded = [order.load() for order in self.orders]
        return [cell.get("hit_ratio") if order.wants_bound else cell.values["cache.hit_ratio"]
                for order, cell in zip(self.orders, loaded, strict=True)]


def points(contenders: Sequence[Contender], fractions: Sequence[float], seeds: Sequence[int],
           folder: Path) -> list[Point]:
    """All points of the curve; the bound is the baseline's."""
    seeds = seeds[:SEEDS]
    asked = [*((contender, False) for contender in contenders), (contenders[0], True)]
    return [point for one, wants_bound in asked for point in _points_of(one, fractions, seeds, folder, wants_bound)]


def _points_of(contender: Contender, fractions: Sequence[float], seeds: Sequence[int], folder: Path,
               wants_bound: bool) -> Iterator[Point]:
    spec = instance_spec(contender.scenario.endpoint.server, resolve(contender.scenario).instance_type)
    whole = spec.gpu_bytes if spec.has_gpu else spec.host_bytes
    for fraction in sorted(set(fractions)):
        yield Point(BOUND_NAME if wants_bound else contender.name, fraction, round(fraction * whole),
                    [order_of(contender, seed, folder, scaled={"memory": fraction}, wants_bound=wants_bound)
                     for seed in seeds])


def curve(found: Sequence[Point], confidence: float) -> DataFrame:
    """The table of a comparison; no rows where no curve was asked for."""
    import pandas as pd

    rows = [(point, stats.within(interval(point.hit_ratios(), confidence), 0.0, 1.0)) for point in found]
    return pd.DataFrame([_row(point, hits) for point, hits in rows if hits is not None], columns=list(COLUMNS))


def _row(point: Point, hits: Interval) -> dict[str, Any]:
    return {"variant": point.name, "memory_fraction": point.fraction, "memory_bytes": point.memory_bytes,
            "hit_ratio": hits.mean, "low": hits.low, "high": hits.high}
