"""What all reports share: one file with everything in it, for light and dark, wide and narrow screens, and paper.

A page may not fetch anything: its Content-Security-Policy says so, and a browser that opens it keeps to that.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmesim.report import theme
from mmesim.report.wording import unbroken


@dataclass(frozen=True)
class Figure:
    """A figure with what to look for in it."""

    title: str
    caption: str
    svg: str
    wide: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell of a table that can be sorted."""

    text: str
    value: float | str | None
    """What it is sorted by; None: unknown, always last."""


@dataclass(frozen=True)
class Download:
    """A file inside the page."""

    file: str
    what: str
    uri: str


def render_page(template: str, **values: Any) -> str:
    """The page made of a template of this package. The same values give the same bytes."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(loader=PackageLoader("mmesim.report", ""), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    environment.filters["unbroken"] = unbroken
    return environment.get_template(template).render(light=theme.css_variables(0), dark=theme.css_variables(1),
                                                     **values)


def write_page(page: str, path: Path) -> None:
    """Put a page in place at once."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(page, encoding="utf-8")
    os.replace(draft, path)


def data_uri(kind: str, text: str) -> str:
    """A text as a link that needs no network."""
    return f"data:{kind};charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"
