"""Checks that policies make of their parameters, in `__post_init__`.

A `ValueError` whose message begins with the parameter's name, as a scenario writes it, is shown at that parameter's
line.
"""

from __future__ import annotations

import math


def at_least(minimum: float, **values: float) -> None:
    """Raises ValueError for the first value that is below `minimum` or not finite."""
    for name, value in values.items():
        if not minimum <= value < math.inf:
            raise ValueError(f"{name} is {value:g}; the least is {minimum:g}")


def above_zero(**values: float) -> None:
    """Raises ValueError for the first value that is not a finite number above 0."""
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} is {value:g}; it must be above 0")
