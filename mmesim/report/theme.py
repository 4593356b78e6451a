"""Colours for light and dark, and figures as SVG that follow the reader's choice.

Matplotlib draws with stand-in colours; in the SVG each is replaced by a CSS variable, so that one figure serves both
themes. Text stays text. The same figure gives the same bytes: ids are salted with a constant, no date is written.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    "ink": ("#1c2126", "#e7eaee"), "muted": ("#5f6973", "#9ba5af"), "grid": ("#e4e7eb", "#2c333b"),
    "surface": ("#ffffff", "#15191e"), "page": ("#f4f5f7", "#0d1013"), "shade": ("#eceff2", "#1e242b"),
    "blue": ("#2166ac", "#6aa7e8"), "teal": ("#12837a", "#45bfb0"), "amber": ("#c97b08", "#eda63a"),
    "red": ("#c23b2e", "#ef7264"), "purple": ("#76489f", "#b791dd"), "green": ("#3b8a3b", "#72c272"),
    "pink": ("#b9437f", "#e889ba"), "brown": ("#8a6138", "#c89c6c"), "cyan": ("#258bb3", "#62c3e2"),
    "olive": ("#76861c", "#b7c44c"), "navy": ("#43538a", "#8f9fdb"), "grey": ("#89929b", "#79838d"),
    "pale": ("#c9d0d7", "#444d57")}
"""Name -> (light, dark)."""
STAND_IN = {name: f"#fe00{k:02x}" for k, name in enumerate(COLOURS)}
MODEL_COLOURS = ("blue", "amber", "teal", "purple", "green", "pink", "cyan", "brown", "navy", "olive", "red", "ink")
"""Told apart in this order."""
FULL, HALF = 11.2, 5.4
"""Widths in inches of a figure over the whole page and over half of it."""
NAME_LENGTH = 36
"""Of a name in a figure."""
SHAPES = {
    "o": "M13 1.5a3.5 3.5 0 1 0 .01 0z", "s": "M10 2h6v6h-6z", "^": "M13 1l4 7.5h-8z", "v": "M13 9l4-7.5h-8z",
    "D": "M13 .6L17.2 5 13 9.4 8.8 5z", "P": "M11.7 1h2.6v2.7H17v2.6h-2.7V9h-2.6V6.3H9V3.7h2.7z",
    "X": "M10 1l3 2.4L16 1l1.6 1.6L15.2 5l2.4 2.4L16 9l-3-2.4L10 9 8.4 7.4 10.8 5 8.4 2.6z",
    "p": "M13 1l4 3.1-1.5 4.9h-5L9 4.1z"}
"""The markers as paths in a box of 26 x 10."""
_drawn_with: ContextVar[Mapping[str, str]] = ContextVar("palette", default=STAND_IN)


def _settings(palette: Mapping[str, str]) -> dict[str, Any]:
    return {
        "svg.fonttype": "none", "svg.hashsalt": "mmesim", "font.family": "DejaVu Sans", "font.size": 8.5,
        "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
        "axes.edgecolor": palette["muted"], "axes.linewidth": 0.8, "axes.labelcolor": palette["muted"],
        "axes.grid": True, "axes.grid.axis": "y", "axes.axisbelow": True, "grid.color": palette["grid"],
        "grid.linewidth": 0.8, "xtick.color": palette["muted"], "ytick.color": palette["muted"],
        "ytick.left": False, "ytick.minor.left": False, "text.color": palette["ink"], "lines.linewidth": 1.5,
        "lines.solid_capstyle": "round", "legend.frameon": False, "figure.facecolor": "none",
        "axes.facecolor": "none", "axes.titlesize": 9, "axes.titlecolor": palette["muted"],
        "axes.titlelocation": "left"}


def colour(name: str) -> str:
    """What to draw with for a colour of the palette."""
    return _drawn_with.get()[name]


@contextmanager
def house_style(palette: Mapping[str, str] = STAND_IN) -> Iterator[None]:
    """Every figure is drawn inside, on a page with stand-ins; Matplotlib's settings are as before afterwards."""
    from matplotlib import rc_context

    before = _drawn_with.set(palette)
    try:
        with rc_context(_settings(palette)):
            yield
    finally:
        _drawn_with.reset(before)


def new_figure(width_in: float, height_in: float, **grid: Any) -> tuple[Figure, Any]:
    """A figure, without any window, and its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(**grid)


def shorten(name: str, most: int = NAME_LENGTH) -> str:
    """For a figure: the beginning and the end, which tell long names apart. A dollar is one, not Matplotlib's maths."""
    tail = (most - 1) // 2
    text = name if len(name) <= most else f"{name[:most - 1 - tail]}…{name[len(name) - tail:]}"
    return text.replace("$", r"\$")


def legend_below(figure: Figure, axes: Any, reverse: bool = False) -> None:
    """What the colours mean, under the figure."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        order = slice(None, None, -1 if reverse else 1)
        figure.legend(handles[order], labels[order], loc="outside lower left", ncols=3, fontsize=8, handlelength=1.0)


def to_svg(figure: Figure, label: str) -> str:
    """The figure as an inline SVG element that scales with its box; `label` is read to those who cannot see it."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg, escaped = text.getvalue(), escape(label).replace("\\", r"\\")
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r' id="[A-Za-z0-9]+_\d+"', "", svg)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', rf'\1 role="img" aria-label="{escaped}"', svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return themed(svg)


def themed(svg: str) -> str:
    """Stand-ins replaced by CSS variables."""
    names = {stand_in: f"var(--{name})" for name, stand_in in STAND_IN.items()}
    return re.sub(r"#fe00[0-9a-f]{2}", lambda match: names[match[0]], svg)


def css_variables(theme: int) -> str:
    """Declarations of the palette: 0 = light, 1 = dark."""
    return " ".join(f"--{name}: {pair[theme]};" for name, pair in COLOURS.items())
