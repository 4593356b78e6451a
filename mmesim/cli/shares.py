"""Options that are percentages."""

from __future__ import annotations

from mmesim.errors import InputError, Problem


def share(option: str, text: str, above: float = 0.0) -> float:
    """A percentage between `above` (a fraction) and 100 %, both excluded. Raises InputError with the option's name."""
    from mmesim.units import parse_fraction
    try:
        value = parse_fraction(text)
    except ValueError as error:
        raise InputError(Problem(str(error), file=option)) from None
    if not above < value < 1:
        raise InputError(Problem(f"{text} is not between {above:.0%} and 100%", file=option, hint=f"e.g. {option} 95%"))
    return value
