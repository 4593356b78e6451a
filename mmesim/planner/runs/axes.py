"""Settings and their values as they are written in options: ``path=a,b``, ``path=1..8``, ``path=10..90/10``.

Values stay text until the variant is loaded: they are YAML, and mean what they would mean in the file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from mmesim.errors import InputError, Problem

MOST_STEPS = 100_000
"""Values of one range."""
_OPEN, _CLOSE = "[{(", "]})"
_NUMBER, _UNIT = r"[+-]?(?:\d+\.?\d*|\.\d+)", r"[A-Za-zµ%/]*"
_RANGE = re.compile(rf"(?P<low>{_NUMBER})(?P<unit1>{_UNIT})\.\.(?P<high>{_NUMBER})(?P<unit2>{_UNIT}?)"
                    rf"(?:/(?P<step>{_NUMBER})(?P<unit3>{_UNIT}))?\Z")


@dataclass(frozen=True)
class Axis:
    """A setting and the values it takes, as written."""

    path: str
    values: tuple[str, ...]


def axes(texts: Sequence[str], option: str = "--vary") -> list[Axis]:
    """``path=value,value`` or ``path=low..high[/step]``, each path once. Raises InputError."""
    found = [_axis(text, option) for text in texts]
    paths = [axis.path for axis in found]
    if twice := [path for path in paths if paths.count(path) > 1]:
        raise InputError(Problem(f"{twice[0]} is varied twice", hint=f"write {option} {twice[0]}=all,its,values"))
    return found


def _axis(text: str, option: str) -> Axis:
    origin = f"{option} {text}"
    path, equals, written = text.partition("=")
    parts = [part.strip() for part in split(written, ",")]
    if not equals or not path.strip() or not all(parts):
        raise InputError(Problem("is not a setting and its values", file=origin,
                                 hint=f"write {option} path.to.setting=value,value"))
    values = [value for part in parts for value in _values(part, origin)]
    twice = [value for value, times in Counter(values).items() if times > 1]
    if twice:
        raise InputError(Problem(f"names {twice[0]} twice", file=origin, hint="write each value once"))
    return Axis(settable(path.strip(), origin), tuple(values))


def _values(part: str, origin: str) -> Iterator[str]:
    """One value, or those of a range: whole numbers, or low, low + step, … up to high."""
    found = _RANGE.match(part)
    if found is None:
        yield part
        return
    low, high, unit = bounds(part, origin)
    step = Decimal(found["step"] or 1)
    if found["step"] is None and not {low % 1, high % 1} == {0}:
        raise InputError(Problem(f"{part} has no step", file=origin, hint=f"write {part}/STEP, e.g. 0.1..0.5/0.1"))
    if step <= 0 or (high - low) / step >= MOST_STEPS:
        raise InputError(Problem(f"{part} is no range that can be walked through", file=origin,
                                 hint=f"write a step above 0 that makes fewer than {MOST_STEPS:,} values"))
    for k in range(int((high - low) / step) + 1):
        yield f"{(low + k * step).normalize():f}{unit}"


def bounds(text: str, origin: str) -> tuple[Decimal, Decimal, str]:
    """Low, high and unit of ``low..high``, ``10s..90s``. Raises InputError naming `origin`."""
    found = _RANGE.match(text)
    if found is None:
        raise InputError(Problem(f"{text} is no range", file=origin, hint="write low..high, e.g. 1..8 or 10s..90s"))
    units = {unit for unit in (found["unit1"], found["unit2"], found["unit3"]) if unit}
    low, high = Decimal(found["low"]), Decimal(found["high"])
    if len(units) > 1 or low > high:
        raise InputError(Problem(f"{text} is no range", file=origin,
                                 hint="write low..high with low <= high, and one unit: 10s..90s"))
    return low, high, "".join(units)


def settable(path: str, origin: str) -> str:
    """The path, if variants may differ in it. Raises InputError."""
    if path in ("seed", "name"):
        raise InputError(Problem(f"{path} is no setting to compare", file=origin,
                                 hint="every variant runs with the same seeds: --seeds says how many"))
    return path


def split(text: str, separator: str) -> list[str]:
    """The text at its separators outside brackets and quotes: YAML's flow mappings and lists stay whole."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"" and not parts[-1].strip():
            quote = character
        depth += 0 if quote else (character in _OPEN) - (character in _CLOSE)
        if character == separator and depth <= 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return parts
