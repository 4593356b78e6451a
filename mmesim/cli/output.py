"""How commands speak: tables for people, JSON for programs, notes on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def print_json(value: Any) -> None:
    """A value as indented JSON on stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def console(stderr: bool = False) -> Console:
    """A console that knows whether it writes to a terminal; wide enough for a table when it does not."""
    from rich.console import Console
    plain_width = None if sys.stdout.isatty() else 120
    return Console(stderr=stderr, highlight=False, width=None if stderr else plain_width)


def print_table(rows: Sequence[Mapping[str, Any]], *, title: str = "", caption: str = "") -> None:
    """Rows with the same keys as a table; numbers to the right."""
    from rich.table import Table
    table = Table(title=title or None, caption=caption or None, title_justify="left", caption_justify="left",
                  box=None, pad_edge=False, header_style="bold")
    for name in rows[0] if rows else ():
        numeric = all(isinstance(row[name], int | float) or row[name] in ("", None) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console().print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def note(text: str) -> None:
    """One line for the person at the terminal; stdout stays clean."""
    print(text, file=sys.stderr, flush=True)
