"""How far a variant stays from the best possible, and which bound that is: not each one holds for each run.

docs/bounds.md has the table. The row "best possible" is of policies that load at a miss and at once. A variant that may
load without a miss is measured against the bound of every policy; one that loads at misses, but passes the row because
loads waited, against the bound of loads that wait. The bounds of loads hold for loads at misses only, and where no
request failed. What holds for a run of any seed decides for the variant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmesim.planner.compare import stats
from mmesim.planner.compare.ranking import FAILED, values
from mmesim.planner.compare.variants import Contender
from mmesim.planner.runs.cells import Cell
from mmesim.policies.prewarm.none import NoPrewarm
from mmesim.results.comparison import Interval
from mmesim.scenario.references import resolve

HITS = "cache.hit_ratio"
BOUND_KEYS = {HITS: "hit_ratio", "residency.loads": "loads", "load_s": "load_s"}
"""Metric key -> its name in a `RequestBound`, for the row."""
WHOSE = {"late_hit_ratio": "the bound of loads that wait", "foreseen_hit_ratio": "the bound of every policy"}
"""In words, where it is not the row's."""
WAITED = "loads began later than their miss"
UNCOUNTED = "requests that ended without their model do not count in a hit ratio"


@dataclass(frozen=True)
class Measure:
    """What one variant is measured against."""

    variant: str
    reason: str
    """Why the row does not bind it; empty: it does."""
    hits: str
    """The bound of its hits, by its name in a `RequestBound`; empty: none holds."""
    hits_at: tuple[float, ...]
    """That bound, one a seed."""
    loads: bool
    """Whether the bounds of loads hold."""


def measure(contender: Contender, cells: Sequence[Cell], bounds: Sequence[Mapping[str, Any]]) -> Measure:
    """Which bounds hold for a variant's runs; `cells` and `bounds` by seed."""
    freedom = _freedom(contender, cells, instances=bounds[0]["instances"])
    chain = ["foreseen_hit_ratio"] if freedom else ["hit_ratio", "late_hit_ratio"]
    ours = values(cells, HITS)
    kept = next((name for name in chain if not _passes(ours, [bound[name] for bound in bounds])), "")
    reason = freedom or {"hit_ratio": "", "late_hit_ratio": WAITED, "": UNCOUNTED}[kept]
    loads = not freedom and not any(values(cells, FAILED)) and not _passes(
        [bound["loads"] for bound in bounds], values(cells, "residency.loads"))
    return Measure(contender.name, reason, kept, tuple(bound[kept] for bound in bounds) if kept else (), loads)


def _freedom(contender: Contender, cells: Sequence[Cell], instances: int) -> str:
    """How a variant may come by copies without a miss; empty: not at all."""
    policies = resolve(contender.scenario).policies
    if not isinstance(policies.prewarm, NoPrewarm):
        return "models are loaded before they are asked for"
    if policies.placement.period_s > 0:
        return "the placement adds copies by itself"
    if policies.routing.blind and instances > 1:
        return "the router sends requests past READY copies"
    spill = policies.routing.spill_outstanding
    wished = any(cell.spill_wishes for cell in cells)
    return f"the router wished for further copies of busy models (spill_outstanding={spill})" if wished else ""


def _passes(ours: Sequence[float | None], limits: Sequence[float | None]) -> bool:
    """True when any seed's number is above its limit."""
    return any(one is not None and limit is not None and one > limit
               for one, limit in zip(ours, limits, strict=True))


def regret(found: Measure, cells: Sequence[Cell], bounds: Sequence[Mapping[str, Any]],
           confidence: float) -> dict[str, Interval]:
    """Distances to the bounds that hold: hit ratio in points, loads and their time as a fraction above the bound."""
    distances: dict[str, Interval | None] = {}
    if found.hits:
        distances[HITS] = stats.difference(found.hits_at, values(cells, HITS), confidence)
    for key in ("residency.loads", "load_s") if found.loads else ():
        distances[key] = stats.relative(values(cells, key), [bound[BOUND_KEYS[key]] for bound in bounds], confidence)
    return {key: distance for key, distance in distances.items() if distance is not None}


# ---- in words


def exceptions(found: Sequence[Measure]) -> list[str]:
    """What the row does not say of which variants, one sentence a reason."""
    told = []
    for reason, hits in dict.fromkeys((one.reason, one.hits) for one in found if one.reason):
        group = [one for one in found if (one.reason, one.hits) == (reason, hits)]
        against = f"the distance is to {WHOSE[hits]}, {_level(group)}" if hits else "no distance is shown"
        told.append(f"The row does not bind {_listed(one.variant for one in group)}: {reason}; {against}.")
    if unheld := [one.variant for one in found if not one.loads]:
        told.append(f"No distance in loads for {_listed(unheld)}: that bound holds for loads at misses alone, where no "
                    "request fails.")
    return told


def _level(group: Sequence[Measure]) -> str:
    low, high = (f"{100 * pick(level for one in group for level in one.hits_at):.1f}" for pick in (min, max))
    return f"{low} %" if low == high else f"{low} to {high} %"


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
