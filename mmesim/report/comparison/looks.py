"""What each variant looks like, in every figure and table alike: colour, line and marker, so that grey paper will do.

A figure of lines shows the baseline and the best few in colours; what more there is stands behind them in grey. Figures
of rows show all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmesim.report.theme import SHAPES, shorten
from mmesim.results.comparison import Comparison

COLOURS = ("blue", "amber", "teal", "pink", "purple", "brown", "cyan")
"""Of the ranking's first; neighbours differ in lightness and survive the common kinds of colour blindness."""
LINES: tuple[tuple[float, ...], ...] = ((), (6, 2), (2, 1.6), (7, 2, 1.5, 2), (4, 1.2, 1, 1.2, 1, 1.2), (10, 3), (1, 1))
"""Lengths of strokes and gaps in line widths; none: solid."""
MARKERS = ("s", "^", "D", "v", "P", "X", "p")
BASELINE, BOUND, OTHER = "ink", "grey", "grey"


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
                f'stroke-width="1.6"{dash}/><path d="{SHAPES[self.marker]}" fill="{shade}"/></svg>')


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


def others(all_looks: Sequence[Look]) -> int:
    """How many are behind."""
    return sum(not look.drawn for look in all_looks)
