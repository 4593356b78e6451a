"""How far the simulated past agrees with the recorded one, number by number and over time, and the verdict in words.

Judged are the tail of latency (as a fraction of the recorded value), the hit ratio and the error rate (in points).
Everything else that both sides have is shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmesim.planner.compare.ranking import possible
from mmesim.planner.history.answers import Floats
from mmesim.planner.history.numbers import ERRORS, HITS, INSTANCES, Number, key_quantile
from mmesim.results.comparison import Metric
from mmesim.results.comparison_interval import interval
from mmesim.results.history import Agreement, Course

Numbers = Mapping[str, float | None]
FEWEST = 3
"""Pieces that a correlation takes."""




@dataclass(frozen=True)
class Trust:
    """How far apart recorded and simulated may be."""

    relative: float = 0.10
    """Of latencies."""
    points: float = 0.01
    """Of ratios."""

    def of(self, metric: Metric) -> float:
        """For this metric: of percentages, so many of a hundred."""
        return {"ratio": self.points, "%": 100 * self.relative}.get(metric.unit, self.relative)


def over_time(numbers: Sequence[Number], recorded: Numbers) -> tuple[Number, ...]:
    """The numbers that are compared piece by piece."""
    tail = key_quantile(numbers, recorded)
    wanted = ("requests", HITS, tail.key if tail else "", INSTANCES)
    return tuple(number for key in wanted for number in numbers if number.key == key and recorded.get(key) is not None)


def agreements(numbers: Sequence[Number], recorded: Numbers, simulated: Sequence[Numbers], confidence: float,
               trust: Trust) -> list[Agreement]:
    """Of every number that both have."""
    tail = key_quantile(numbers, recorded)
    judged = {HITS, ERRORS, *([tail.key] if tail else [])}
    found = []
    for number in numbers:
        value, values = recorded.get(number.key), [each.get(number.key) for each in simulated]
        ours = possible(interval(values, confidence), number.metric)
        if value is not None and ours is not None:
            within = trust.of(number.metric) if number.key in judged else None
            found.append(Agreement(number.metric, value, ours, within))
    return found


def missing(numbers: Sequence[Number], recorded: Numbers, simulated: Sequence[Numbers]) -> list[str]:
    """Titles of what the simulation knows and the past does not."""
    return [number.metric.title for number in numbers if recorded.get(number.key) is None
            and any(each.get(number.key) is not None for each in simulated)]


def courses(numbers: Sequence[Number], pieces: int, recorded: Numbers, simulated: Sequence[Numbers]) -> list[Course]:
    """Of the numbers that are compared piece by piece."""
    found = []
    for number in numbers:
        keys = [f"{number.key}@{k}" for k in range(pieces)]
        ours = [_mean([each.get(key) for each in simulated]) for key in keys]
        theirs = [recorded.get(key) for key in keys]
        both = np.array([(a, b) for a, b in zip(theirs, ours, strict=True) if a is not None and b is not None])
        if len(both):
            found.append(Course(number.metric, theirs, ours, _correlation(both), float(np.abs(np.diff(both)).mean()),
                                len(both)))
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _correlation(both: Floats) -> float | None:
    if len(both) < FEWEST or (both.std(axis=0) <= 1e-12 * np.abs(both).max(axis=0)).any():
        return None
    return float(np.corrcoef(both.T)[0, 1])


# ---- in words


def trusted(found: Sequence[Agreement]) -> bool | None:
    """Whether every judged number holds; None: there is none."""
    judged = [each.holds for each in found if each.holds is not None]
    return all(judged) if judged else None


def verdict(found: Sequence[Agreement]) -> str:
    """One sentence: how far the answers may be trusted."""
    judged = [each for each in found if each.holds is not None]
    if not judged:
        return ("Nothing was recorded that the simulation could be judged by (latency, hits, errors): its changes are "
                "what the model says, unchecked.")
    wrong = [each for each in judged if not each.holds]
    if wrong:
        return (f"The simulated past does not agree with the recorded one: {_listed(map(_apart, wrong))}. Do not read "
                "a change as absolute.")
    within = _listed(f"{limit_text(each)} in {each.metric.title}" for each in judged)
    return f"The simulated past agrees with the recorded one within {within}: its answers may be trusted that far."


def limit_text(each: Agreement) -> str:
    """``10 %``, ``1 point``."""
    assert each.trust is not None
    if not each.is_points:
        return f"{100 * each.trust:.3g} %"
    points = 100 * each.trust
    return f"{points:.3g} point" + ("" if points == 1 else "s")


def _apart(each: Agreement) -> str:
    apart, title = each.difference, each.metric.title
    if apart is None:
        return f"{title} was 0 and is {each.simulated.mean:.3g}{' ' * bool(each.metric.unit)}{each.metric.unit}"
    size = f"{100 * abs(apart):.3g} points" if each.is_points else f"{100 * abs(apart):.3g} %"
    return f"{title} is {size} too {'low' if apart < 0 else 'high'}"


def _listed(parts: Iterable[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


