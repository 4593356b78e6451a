"""Figures as files of their own (PNG, SVG, PDF) in the light colours; the same figure gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmesim.errors import InputError, Problem
from mmesim.report.theme import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
INK = {name: light for name, (light, _) in COLOURS.items()}
"""Name -> colour on paper."""
_RC: dict[str, Any] = {
    "svg.hashsalt": "mmesim", "svg.fonttype": "none", "font.size": 9, "axes.grid": True, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "grid.color": INK["grid"], "axes.titlelocation": "left"}


def check_format(path: Path) -> None:
    """Raises InputError when the suffix is no kind of figure."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(Problem(f"{path.name} is no kind of figure", hint=f"end it in {', '.join(FORMATS)}"))


@contextmanager
def printed(path: Path, width_in: float, height_in: float) -> Iterator[Figure]:
    """An empty figure to draw on; it is written at the end. Raises InputError on a strange suffix."""
    check_format(path)
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(_RC):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix.lower() == ".svg" else {})
