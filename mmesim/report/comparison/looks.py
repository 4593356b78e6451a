"""What each variant looks like, in every figure and table alike: colour, line and marker, so that grey paper will do.

A figure of lines shows the baseline and the best few in colours; what more there is stands behind them in grey. Figures
of rows show all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmesim.results.comparison import Comparison

COLOURS = ("blue", "amber", "teal", "pink", "purple", "brown", "cyan")
"""Of the ranking's first; neighbours differ in lightness and survive the common kinds of colour blindness."""
LINES: tuple[tuple[float, ...], ...] = ((), (6, 2), (2, 1.6), (7, 2, 1.5, 2), (4, 1.2, 1, 1.2, 1, 1.2), (10, 3), (1, 1))
"""Lengths of strokes and gaps in line widths; none: solid."""
MARKERS = ("s", "^", "D", "v", "P", "X", "p")
BASELINE, BOUND, OTHER = "ink", "grey", "grey"
NAME_LENGTH = 36
_SHAPES = {
    "o": "M13 1.5a3.5 3.5 0 1 0 .01 0z", "s": "M10 2h6v6h-6z", "^": "M13 1l4 7.5h-8z", "v": "M13 9l4-7.5h-8z",
    "D": "M13 .6L17.2 5 13 9.4 8.8 5z", "P": "M11.7 1h2.6v2.7H17v2.6h-2.7V9h-2.6V6.3H9V3.7h2.7z",
    "X": "M10 1l3 2.4L16 1l1.6 1.6L15.2 5l2.4 2.4L16 9l-3-2.4L10 9 8.4 7.4 10.8 5 8.4 2.6z",
    "p": "M13 1l4 3.1-1.5 4.9h-5L9 4.1z"}
"""The markers as paths in a box of 26 x 10."""


@dataclass(frozen=True)
class Look:
    """How one variant is drawn."""

    name: str
    short: str
    """The name as figures write it (`shorten`)."""
    colour: str
    """Name in the palette."""
    dash: tuple[float, ...]
    marker: str
    drawn: bool
    """Stands out in figures of lines; the others are behind."""
    width: float = 1.5

    @property
    def line_style(self) -> str | tuple[int, tuple[float, ...]]:
        """For Matplotlib."""
        return (0, self.dash) if self.dash else "-"

    @property
    def glyph(self) -> str:
        """A piece of its line with its marker, as an SVG element for tables."""
        dash = f' stroke-dasharray="{" ".join(f"{1.6 * part:g}" for part in self.dash)}"' if self.dash else ""
        shade = f"var(--{self.colour})"
        return (f'<svg class="glyph" viewBox="0 0 26 10" aria-hidden="true"><path d="M0 5H26" stroke="{shade}" '
                f'stroke-width="1.6"{dash}/><path d="{_SHAPES[self.marker]}" fill="{shade}"/></svg>')


def looks(comparison: Comparison) -> dict[str, Look]:
    """Variant name -> look, in the comparison's order; the bound's too, last."""
    names = [variant.name for variant in comparison.variants]
    result = {names[0]: Look(names[0], shorten(names[0]), BASELINE, (), "o", True, 2.0)}
    for k, name in enumerate(names[1:]):
        drawn = k < len(COLOURS)
        shade = COLOURS[k] if drawn else OTHER
        result[name] = Look(name, shorten(name), shade, LINES[k % len(LINES)] if drawn else (),
                            MARKERS[k % len(MARKERS)], drawn, 1.6 if drawn else 0.8)
    if comparison.bound is not None:
        name = comparison.bound.name
        result[name] = Look(name, shorten(name), BOUND, (3, 2), "o", True, 1.2)
    return result


def shorten(name: str, most: int = NAME_LENGTH) -> str:
    """For a figure: the beginning and the end, which tell long names apart. A dollar is one, not Matplotlib's maths."""
    tail = (most - 1) // 2
    text = name if len(name) <= most else f"{name[:most - 1 - tail]}…{name[len(name) - tail:]}"
    return text.replace("$", r"\$")


def others(all_looks: Sequence[Look]) -> int:
    """How many are behind."""
    return sum(not look.drawn for look in all_looks)
