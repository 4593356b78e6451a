"""Numbers of a what-if as text, for the terminal and the page alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mmesim.report.intervals import NO_INTERVAL, shown
from mmesim.report.wording import ABSENT, format_duration
from mmesim.results.comparison import Interval, Metric
from mmesim.results.history import POINTS, Agreement, Course, Effect, WhatIf

FIDELITY = ("number", "recorded", "simulated", "interval", "difference", "within the trust")
EFFECTS = ("number", "simulated past", "with the change", "change", "interval", "recorded", "would have been")
HOLDS = {True: "yes", False: "NO", None: ""}
COURSES = ("over time", "pieces", "correlation", "mean absolute error")


def fidelity_rows(answer: WhatIf) -> list[tuple[str, ...]]:
    """Under the heads `FIDELITY`."""
    return [(each.metric.title, plain(each.recorded, each.metric), *_both(each.simulated, each.metric),
             difference(each), HOLDS[each.holds]) for each in answer.agreements]


def course_rows(answer: WhatIf) -> list[tuple[str, ...]]:
    """Under the heads `COURSES`."""
    return [(each.metric.title, str(each.n), ABSENT if each.correlation is None else f"{each.correlation:.2f}",
             _error(each)) for each in answer.courses]


def effect_rows(answer: WhatIf, effects: Sequence[Effect]) -> list[tuple[str, ...]]:
    """Under the heads `EFFECTS`. A number that the simulated past missed by more than the trust is marked."""
    return [_effect_row(answer, effect) for effect in effects]


def _effect_row(answer: WhatIf, effect: Effect) -> tuple[str, ...]:
    metric, known = effect.metric, answer.agreement(effect.metric.key)
    base = Interval(effect.simulated.mean - effect.difference.mean, -math.inf, math.inf, 1)
    change, interval = _change(effect)
    predicted = ABSENT if effect.predicted is None else " ".join(_both(effect.predicted, metric)).strip()
    return (metric.title, shown(base, metric.unit).mean, shown(effect.simulated, metric.unit).mean, change, interval,
            ABSENT if known is None else plain(known.recorded, metric),
            predicted if effect.is_trusted or effect.predicted is None else f"({predicted})")


def _change(effect: Effect) -> tuple[str, str]:
    """Of shares in points, else in per cent where there is something to be a per cent of."""
    if effect.metric.unit in POINTS:
        scale = 1.0 if effect.metric.unit == "ratio" else 0.01
        text = shown(_times(effect.difference, scale), "points", signed=True)
    elif effect.relative is not None:
        text = shown(effect.relative, "ratio", signed=True)
    else:
        text = shown(effect.difference, effect.metric.unit, signed=True)
    return text.mean, "" if text.interval == NO_INTERVAL else text.interval


def _times(value: Interval, factor: float) -> Interval:
    return Interval(value.mean * factor, value.low * factor, value.high * factor, value.n)


def plain(value: float | None, metric: Metric) -> str:
    """A number without an interval."""
    return ABSENT if value is None else shown(Interval(value, -math.inf, math.inf, 1), metric.unit).mean


def _both(value: Interval, metric: Metric) -> tuple[str, str]:
    text = shown(value, metric.unit)
    return text.mean, "" if text.interval == NO_INTERVAL else text.interval


def difference(each: Agreement) -> str:
    """Simulated against recorded, in points or per cent."""
    if each.difference is None:
        return ABSENT
    scale = 0.01 if each.metric.unit == "%" else 1.0
    value = Interval(each.difference * scale, -math.inf, math.inf, 1)
    return shown(value, "points" if each.is_points else "ratio", signed=True).mean


def _error(each: Course) -> str:
    if each.mean_absolute_error is None:
        return ABSENT
    if each.metric.unit == "ratio":
        return f"{100 * each.mean_absolute_error:.2g} points"
    return plain(each.mean_absolute_error, each.metric)


def about(answer: WhatIf) -> list[str]:
    """The head of both: what was recorded, and how it was simulated."""
    past: Mapping[str, object] = answer.past
    n, begins = past["requests"], past["begins"]
    return [f"{past['kind']} {past['where']}", *([f"from {begins}"] if begins else []),
            f"{format_duration(float(str(past['length_s'])))}, {format_duration(float(str(past['warmup_s'])))} of it "
            "warm-up", *([f"{float(str(n)):,.0f} requests"] if n is not None else []),
            f"{len(answer.seeds)} seed{'s' * (len(answer.seeds) > 1)}, {100 * answer.confidence:.3g} % intervals"]
