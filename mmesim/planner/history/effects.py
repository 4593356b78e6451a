"""What a change does: the difference to the simulated past, paired by seed, and what would have been recorded with it.

The simulation is wrong by something, the same something with and without the change as far as the change leaves alone
what it is wrong about. So what would have been recorded is the recorded value times the simulated ratio, and for a
share (hit ratio, error rate, utilisation) the recorded value plus the simulated difference, kept between nothing and
all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mmesim.planner.compare import stats
from mmesim.planner.compare.ranking import WHOLE, possible
from mmesim.planner.history.fidelity import Numbers, Trust
from mmesim.planner.history.numbers import ERRORS, HITS, Number, key_quantile
from mmesim.results.comparison import Interval, Metric
from mmesim.results.comparison_interval import interval
from mmesim.results.history import POINTS, Agreement, Effect


def effects(numbers: Sequence[Number], base: Sequence[Numbers], changed: Sequence[Numbers],
            found: Sequence[Agreement], confidence: float, trust: Trust) -> list[Effect]:
    """On every number that both simulations have."""
    known = {each.metric.key: each for each in found}
    made = (_effect(number.metric, [each.get(number.key) for each in base], [each.get(number.key) for each in changed],
                    known.get(number.key), confidence, trust) for number in numbers)
    return [effect for effect in made if effect is not None]


def _effect(metric: Metric, base: Sequence[float | None], changed: Sequence[float | None], known: Agreement | None,
            confidence: float, trust: Trust) -> Effect | None:
    apart, ours = stats.difference(changed, base, confidence), possible(interval(changed, confidence), metric)
    if apart is None or ours is None:
        return None
    relative = stats.relative(changed, base, confidence)
    held = None if known is None else known.difference is not None and abs(known.difference) <= trust.of(metric)
    predicted = None if known is None else _predicted(metric, known.recorded, apart, relative)
    return Effect(metric, ours, apart, relative, predicted, held)


def _predicted(metric: Metric, recorded: float, apart: Interval, relative: Interval | None) -> Interval | None:
    if metric.unit in POINTS:
        return _kept_within(_each(apart, 1.0, recorded), WHOLE[metric.unit])
    return _each(relative, recorded, recorded) if relative is not None else None


def _each(value: Interval, times: float, plus: float) -> Interval:
    mean, low, high = (plus + times * each for each in (value.mean, value.low, value.high))
    return Interval(mean, low, high, value.n)


def _kept_within(value: Interval, most: float) -> Interval:
    """Between nothing and all; the ends of one seed's interval stay infinite."""
    return replace(stats.within(value, 0.0, most) or value, mean=min(most, max(0.0, value.mean)))


# ---- in words


def sentences(numbers: Sequence[Number], recorded: Numbers, made: Sequence[Effect]) -> Iterator[str]:
    """What can be said of the tail of latency, hits and errors."""
    tail = key_quantile(numbers, recorded)
    keys = (tail.key if tail else "latency.all.p99", HITS, ERRORS)
    for effect in made:
        if effect.metric.key in keys and not (effect.metric.key == ERRORS and not effect.difference.mean):
            yield _said(effect)


def _said(effect: Effect) -> str:
    """``p99 latency falls by 12 % [9, 15]; recorded 250 ms would have been 220 ms``."""
    apart, title = effect.relative, effect.metric.title
    is_points = effect.metric.unit in POINTS
    if is_points or apart is None:
        apart = effect.difference
    if math.isinf(apart.low):
        return f"{title}: {_size(apart, effect)} with one seed, which tells no interval."
    if apart.low == apart.high == 0:
        return f"{title} stays the same with every seed."
    if not apart.excludes_zero:
        return f"{title}: no difference can be told ({_size(apart, effect)})."
    word = "rises" if apart.mean > 0 else "falls"
    size = _size(apart if apart.mean > 0 else Interval(-apart.mean, -apart.high, -apart.low, apart.n), effect)
    return f"{title} {word} by {size}{_then(effect)}."


def _size(value: Interval, effect: Effect) -> str:
    """With its interval, in points, per cent or the metric's unit."""
    is_share = effect.metric.unit == "ratio" or (effect.relative is not None and effect.metric.unit not in POINTS)
    scale = 100.0 if is_share else 1.0
    own = " %" if effect.relative is not None else f" {effect.metric.unit}"
    unit = " points" if effect.metric.unit in POINTS else own
    low, mean, high = (f"{scale * each:.3g}" for each in (value.low, value.mean, value.high))
    return f"{mean}{unit}" + ("" if math.isinf(value.low) else f" [{low}, {high}]")


def _then(effect: Effect) -> str:
    if effect.predicted is None or not effect.is_trusted:
        return ""
    scale, unit = (100.0, " %") if effect.metric.unit == "ratio" else (1.0, f" {effect.metric.unit}".rstrip())
    return f"; recorded would have been {scale * effect.predicted.mean:.4g}{unit}"
