"""How commands speak: tables for people, JSON for programs, notes on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

KEPT_WHOLE = 12
"""Characters up to which the cells of a column are never folded."""
PIPED_WIDTH = 1000
"""Columns when nobody looks: no line is folded, so that grep and awk find whole rows."""


def print_json(value: Any) -> None:
    """A value as indented JSON on stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


@contextmanager
def page() -> Iterator[Console]:
    """A console for tables; its text goes to stdout at the end, without blanks at the ends of lines."""
    from rich.console import Console
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    with console.capture() as text:
        yield console
    for line in text.get().splitlines():
        print(line.rstrip())


def print_table(rows: Sequence[Mapping[str, Any]], *, title: str = "", caption: str = "") -> None:
    """Rows with the same keys as a table: names are kept whole, numbers stand to the right, texts are folded."""
    from rich.table import Table
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for n, name in enumerate(rows[0] if rows else ()):
        values = [row[name] for row in rows]
        numeric = all(isinstance(value, int | float) or value in ("", None) for value in values)
        whole = n == 0 or all(len(_cell(value)) <= KEPT_WHOLE for value in values)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold", no_wrap=whole)
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    with page() as console:
        console.print(table)
        if caption:
            console.print(f"\n{caption}", style="dim")


def _cell(value: Any) -> str:
    from rich.markup import escape
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}"
    return escape(str(value))


def note(text: str) -> None:
    """One line for the person at the terminal; stdout stays clean."""
    print(text, file=sys.stderr, flush=True)


def figure_formats(text: str | None) -> list[str]:
    """The kinds of files that figures are written as. Raises InputError."""
    from mmesim.report.printed import check_format
    formats = [part.strip().lower() for part in text.split(",")] if text is not None else []
    for kind in formats:
        check_format(Path(f"figure.{kind}"))
    return formats
