"""How many instances to commit to: a Savings Plan is paid for whether they run or not, what runs beyond is on demand.

Cost of c committed instances over the time: hours · c · committed + Σ hours(n) · max(0, n - c) · on demand. It is
convex in c, and one more pays as long as more than c instances run during at least committed / on demand of the time:
the newsvendor's quantile. (Savings Plans commit to dollars per hour; c instances of one type are c times its price.)
"""

from __future__ import annotations

from collections.abc import Sequence

from mmesim.catalog import InstanceType
from mmesim.results.fleet import HOURS_PER_MONTH
from mmesim.results.plan import Commitment

Levels = Sequence[tuple[float, int]]
"""(hours, instances): how long so many ran; in any order."""


def commitments(levels: Levels, kind: InstanceType) -> list[Commitment]:
    """The best commitment of each term that the catalog has a price for; none without a price on demand.

    0 instances, and no saving, where committing to none is best.
    """
    if kind.price_per_hour is None or not sum(hours * count for hours, count in levels):
        return []
    terms = (("1 year", kind.committed_1y_per_hour), ("3 years", kind.committed_3y_per_hour))
    return [_best(levels, term, committed, kind.price_per_hour) for term, committed in terms if committed is not None]


def instances_to_commit(levels: Levels, ratio: float) -> int:
    """The least c such that more than c instances run during less than `ratio` (committed / on demand) of the time."""
    hours = sum(each for each, _ in levels)
    steps = sorted({0, *(count for _, count in levels)})
    return next(c for c in steps if sum(each for each, count in levels if count > c) <= ratio * hours)


def _best(levels: Levels, term: str, committed: float, on_demand: float) -> Commitment:
    hours = sum(each for each, _ in levels)
    count = instances_to_commit(levels, committed / on_demand)
    beyond = sum(each * max(0, level - count) for each, level in levels) * on_demand
    without = sum(each * level for each, level in levels) * on_demand
    cost = hours * count * committed + beyond
    return Commitment(term=term, price_per_hour=committed, instances=count,
                      cost_per_month=cost / hours * HOURS_PER_MONTH, saving=1 - cost / without)
