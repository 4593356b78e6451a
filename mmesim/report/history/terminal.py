"""A what-if in the terminal: fidelity first, then each change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmesim.report.history.wording import COURSES, EFFECTS, FIDELITY, about, course_rows, effect_rows, fidelity_rows
from mmesim.report.wording import format_duration
from mmesim.results.history import WhatIf

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_fidelity(answer: WhatIf, console: Console) -> None:
    """The past as recorded and as simulated, and how far that may be trusted."""
    console.print(f"\n[bold]{answer.name}[/]", highlight=False)
    for text in about(answer):
        console.print(f"  {text}", highlight=False, markup=False)
    console.print(_table(FIDELITY, fidelity_rows(answer)))
    if answer.courses:
        console.print(_table((f"each {format_duration(answer.piece_s)}", *COURSES[1:]), course_rows(answer)))
    colour = {True: "green", False: "bold red", None: "yellow"}[answer.trusted]
    console.print(answer.verdict, style=colour, highlight=False, markup=False)
    if answer.not_recorded:
        console.print(f"not recorded, so not compared: {', '.join(answer.not_recorded)}", style="dim", highlight=False,
                      markup=False)
    for text in answer.notes:
        console.print(f"• {text}", style="dim", highlight=False, markup=False)


def print_changes(answer: WhatIf, console: Console) -> None:
    """What each change would have done."""
    from rich.markup import escape

    for change in answer.changes:
        console.print(f"\n[bold]what if {escape(change.name)}[/]", highlight=False)
        console.print(_table(EFFECTS, effect_rows(answer, change.effects)))
        for sentence in change.sentences:
            console.print(f"• {sentence}", highlight=False, markup=False)
    if answer.changes:
        console.print("would have been: recorded times the simulated ratio; of shares, recorded plus the simulated "
                      "difference. In brackets where the simulated past is not within the trust.", style="dim",
                      highlight=False)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
    for k, head in enumerate(heads):
        table.add_column(head, justify="right" if k else "left", style="" if k else "cyan", no_wrap=not k)
    for row in rows:
        table.add_row(*row, style="red" if row[-1] == "NO" else None)
    return table
