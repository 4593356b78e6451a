"""Numbers with their intervals as text: one unit and one precision for a mean and both its ends.

As many digits as the interval bears: one or two significant ones of its half width. With one seed there is no interval,
and that is what stands in its place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mmesim.results.comparison import Interval

NO_INTERVAL = "no interval"
MINUS = "−"
NOTHING = {"s": 1e-9, "ms": 1e-6}
"""Unit -> below this a number is what rounding left of 0: the clock of a run counts nanoseconds. Other units: 1e-9."""
SAME = 1e-9
"""Half width over mean below which all seeds gave the same: a price, say."""
_SCALES: dict[str, tuple[tuple[float, float, str], ...]] = {
    "ms": ((1.0, 1e-3, "µs"), (1e3, 1.0, "ms"), (120e3, 1e3, "s"), (7.2e6, 6e4, "min"), (math.inf, 3.6e6, "h")),
    "s": ((1e-3, 1e-6, "µs"), (1.0, 1e-3, "ms"), (120.0, 1.0, "s"), (7200.0, 60.0, "min"), (math.inf, 3600.0, "h")),
    "": ((1e6, 1.0, ""), (1e9, 1e6, "M"), (math.inf, 1e9, "G"))}
"""Unit -> (below this, divide by, written behind)."""
_FIXED = {"ratio": (0.01, "", " %"), "points": (0.01, "", " points"), "%": (1.0, "", " %"), "USD/h": (1.0, "$", "/h"),
          "USD": (1.0, "$", "")}
"""Unit -> (divide by, written before, written behind)."""


@dataclass(frozen=True)
class Shown:
    """A number as text."""

    mean: str
    """``2.51 s``."""
    interval: str
    """``[2.43, 2.59]``, or that there is none."""


def shown(value: Interval, unit: str, signed: bool = False) -> Shown:
    """The text of a value; `signed`: with a plus too, for differences. `unit` is a metric's, or ``points``."""
    if _is_nothing(value, unit):
        return _nothing(value, unit)
    divisor, before, behind = _scale(value.mean, unit)
    mean, low, high = (each / divisor for each in (value.mean, value.low, value.high))
    half = (high - low) / 2
    digits = _digits(mean, half)
    text = _number(mean, digits, before, signed) + behind
    known = math.isfinite(half)
    return Shown(text, f"[{_number(low, digits, '', signed)}, {_number(high, digits, '', signed)}]" if known
                 else NO_INTERVAL)


def _is_nothing(value: Interval, unit: str) -> bool:
    ends = [each for each in (value.mean, value.low, value.high) if math.isfinite(each)]
    return max(map(abs, ends)) < NOTHING.get(unit, 1e-9)


def _nothing(value: Interval, unit: str) -> Shown:
    """0 in the unit itself: none of the smaller and larger ones fits it better."""
    _, before, behind = _FIXED.get(unit, (1.0, "", f" {unit}" if unit else ""))
    return Shown(f"{before}0{behind}", "[0, 0]" if math.isfinite(value.low) else NO_INTERVAL)


def _scale(value: float, unit: str) -> tuple[float, str, str]:
    if unit in _FIXED:
        return _FIXED[unit]
    divisor, name = next((divisor, name) for below, divisor, name in _SCALES[unit] if abs(value) < below or
                         below == math.inf)
    return divisor, "", f" {name}" if name else ""


def _digits(mean: float, half: float) -> int:
    """Digits behind the point."""
    wide = math.isfinite(half) and half > SAME * abs(mean)
    finest = half / 4 if wide else abs(mean) / 100
    return min(4, max(0, -math.floor(math.log10(finest)))) if finest else 0


def _number(value: float, digits: int, before: str, signed: bool) -> str:
    text = f"{abs(value):,.{digits}f}"
    zero = not any(digit in text for digit in "123456789")
    sign = "" if zero else MINUS if value < 0 else "+" if signed else ""
    return f"{sign}{before}{text}"


def scaled(value: Interval, factor: float) -> Interval:
    """Every number of it times a positive factor."""
    return Interval(value.mean * factor, value.low * factor, value.high * factor, value.n)


def arms(value: Interval) -> list[list[float]] | None:
    """The interval as Matplotlib wants it, around the mean; None when there is none."""
    return [[value.mean - value.low], [value.high - value.mean]] if math.isfinite(value.low) else None
