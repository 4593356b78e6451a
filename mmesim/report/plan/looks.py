"""What a status looks like, in every figure and table alike: shape and colour, so that grey paper will do."""

from __future__ import annotations

from dataclasses import dataclass

from mmesim.report.theme import SHAPES
from mmesim.results.plan import Status


@dataclass(frozen=True)
class Look:
    """How options and targets of one status are drawn."""

    word: str
    colour: str
    """Name in the palette."""
    marker: str
    is_full: bool
    style: str
    """In the terminal."""

    @property
    def glyph(self) -> str:
        """The marker as an SVG element for tables."""
        shade = f"var(--{self.colour})"
        fill = shade if self.is_full else "none"
        return (f'<svg class="status" viewBox="7 -1 12 12" aria-hidden="true"><path d="{SHAPES[self.marker]}" '
                f'fill="{fill}" stroke="{shade}" stroke-width="1.2"/></svg>')


LOOKS: dict[Status, Look] = {
    "met": Look("met", "teal", "o", True, "green"), "open": Look("open", "amber", "D", False, "yellow"),
    "missed": Look("missed", "red", "X", True, "red"), "ruled out": Look("ruled out", "grey", "v", False, "dim")}
