"""The peak of a concave, piecewise linear function of one price: Lagrange's dual of one constraint on memory."""

from __future__ import annotations

from collections.abc import Callable

STEPS = 60
"""Enough: a few dozen steps find the peak of such functions; fewer would only make the bound a little less tight."""
CLOSE = 1e-9
"""Of the value; nearer to the peak is not looked for."""


def peak(relaxed: Callable[[float], tuple[float, float]]) -> float:
    """max over price >= 0 of relaxed(price).value - price, where relaxed gives (value, use) and all memory is 1.

    Every value met on the way is a bound, so the search may stop at any time. Each call gives a line above the
    function, value and slope use - 1; the next price is where the best rising and the best falling line cross.
    """
    value, use = relaxed(0.0)
    best = value
    if use <= 1.0:
        return best
    low, high = (0.0, value, use - 1.0), None
    price = max(1.0, value)
    for _ in range(STEPS):
        value, use = relaxed(price)
        value -= price
        best = max(best, value)
        if use > 1.0:
            low = (price, value, use - 1.0)
        else:
            high = (price, value, use - 1.0)
        if high is None:
            price *= 8.0
            continue
        crossing = _crossing(low, high)
        if crossing is None or crossing[1] - best <= CLOSE * max(1.0, abs(best)):
            break
        price = crossing[0]
    return best


def _crossing(low: tuple[float, float, float], high: tuple[float, float, float]) -> tuple[float, float] | None:
    """(price, value) where two lines (price, value, slope) meet; None when they are parallel."""
    if low[2] == high[2]:
        return None
    price = (high[1] - low[1] + low[0] * low[2] - high[0] * high[2]) / (low[2] - high[2])
    return price, low[1] + (price - low[0]) * low[2]
