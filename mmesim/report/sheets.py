"""Figures that stand on a page and are files too: drawn from one value, in the reader's theme or in light colours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmesim.report import theme
from mmesim.report.page import Figure
from mmesim.report.printed import INK, check_format

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

DPI = 150


@dataclass(frozen=True)
class Sheet:
    """One figure: what it is called as a file and on the page, what to look for, how to draw it."""

    file: str
    title: str
    caption: str
    label: str
    """For those who cannot see it."""
    draw: Callable[[], Drawing]
    wide: bool = True


def on_page(sheets: Iterable[Sheet]) -> dict[str, Figure]:
    """File name -> the figure as the page has it."""
    with theme.house_style():
        return {sheet.file: Figure(sheet.title, sheet.caption, theme.to_svg(sheet.draw(), sheet.label), sheet.wide)
                for sheet in sheets}


def as_files(sheets: Iterable[Sheet], folder: Path, formats: Sequence[str]) -> list[Path]:
    """Each figure as a file in light colours; the same sheets give the same bytes.

    Returns the paths, in the order of the sheets. Raises InputError: a format that is no kind of figure.
    """
    for kind in formats:
        check_format(Path(f"figure.{kind}"))
    folder.mkdir(parents=True, exist_ok=True)
    with theme.house_style(INK):
        return [path for sheet in sheets for path in _files(sheet, folder, formats)]


def _files(sheet: Sheet, folder: Path, formats: Sequence[str]) -> list[Path]:
    figure = sheet.draw()
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once: no format depends on those before it
    paths = [folder / f"{sheet.file}.{kind}" for kind in formats]
    for path in paths:
        figure.savefig(path, dpi=DPI, facecolor=INK["surface"],
                       metadata={"Date": None} if path.suffix == ".svg" else {})
    return paths
