"""The rule: a target is met when the mean over seeds is surely below its limit, missed when it is surely above.

The value of one seed is one number of one run, e.g. its p99 latency; runs with different seeds are independent.
*Surely* is a one-sided bound of Student's t for the mean: the upper end for "met", the lower end for "missed", each
wrong with a chance of at most 1 - confidence (as far as means over so few seeds are normal: skewed numbers want more
seeds). What lies between the two is within the noise. Equal values have no noise and decide by themselves.

Several targets that are asked at once share the chance of a wrong word (Bonferroni, :func:`each_at`), and so do several
looks at the same runs (:func:`confidence_at`); both in :mod:`mmesim.planner.compare.stats`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from mmesim.planner.compare.stats import each_at, within
from mmesim.results.comparison import Interval
from mmesim.results.comparison_interval import interval
from mmesim.results.objective import Target
from mmesim.results.plan import Status, TargetFound


def verdicts(targets: Sequence[Target], values_by_seed: Mapping[str, Sequence[float | None]],
             confidence: float) -> list[TargetFound]:
    """What is known of each target, by its name's values, one a seed: together wrong with a chance of at most
    1 - confidence."""
    each = each_at(confidence, len(targets))
    return [found(target, values_by_seed[target.name], each) for target in targets]


def status_of(targets: Iterable[TargetFound]) -> Status:
    """Of them all: missed when one is, met when all are; else open."""
    statuses = {target.status for target in targets}
    return "missed" if "missed" in statuses else "met" if statuses <= {"met"} else "open"


def found(target: Target, values: Sequence[float | None], confidence: float) -> TargetFound:
    """What is known of one target from its value in each run; `low` and `high` of the interval are one-sided bounds,
    each at `confidence`, which is above one half.

    A value that never exists is met if it is of models, of which none had requests enough, and missed if it is of all
    requests: nobody can say that it is within the limit. One that exists with some seeds only is never met for sure.
    """
    value = _bounds([each for each in values if each is not None], confidence)
    if value is None:
        return TargetFound(target.name, target.limit, target.unit, None, "met" if target.is_per_model else "missed")
    status = _status(value, target.limit)
    if status == "met" and None in values and not target.is_per_model:
        status = "open"
    return TargetFound(target.name, target.limit, target.unit, value, status)


def at_once(target: Target, value: float | None) -> TargetFound:
    """One run taken for all there is: met or missed, as if seeds did not differ."""
    seen = found(target, [value], 0.95)
    if seen.value is None:
        return seen
    return replace(seen, status="met" if seen.value.mean <= target.limit else "missed")


def _bounds(values: Sequence[float], confidence: float) -> Interval | None:
    """One-sided bounds are those of the two-sided interval that leaves as much on each side; nothing is negative."""
    if math.inf in values:  # a model without any answer: beyond every limit, by how much nobody knows
        return Interval(math.inf, -math.inf if len(values) == 1 else math.inf, math.inf, len(values))
    return within(interval(values, 2 * confidence - 1), 0.0)


def _status(value: Interval, limit: float) -> Status:
    return "met" if value.high <= limit else "missed" if value.low > limit else "open"
