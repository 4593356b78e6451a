"""report.html of a what-if: the verdict, the fidelity, each change, and the past beside its simulation over time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mmesim.report.history import figures
from mmesim.report.history.wording import COURSES, EFFECTS, FIDELITY, about, course_rows, effect_rows, fidelity_rows
from mmesim.report.page import data_uri, render_page, write_page
from mmesim.report.sheets import Sheet, on_page
from mmesim.report.wording import format_duration
from mmesim.results.history import WhatIf
from mmesim.results.history_files import as_json
from mmesim.results.run import to_json


def write_history_report(answer: WhatIf, path: Path) -> None:
    """Draw the page and put it in place at once."""
    write_page(render_history(answer), path)


def render_history(answer: WhatIf) -> str:
    """The whole page. The same answer gives the same bytes."""
    changes = [(change, effect_rows(answer, change.effects)) for change in answer.changes]
    piece = format_duration(answer.piece_s)
    return render_page(
        "history/template.html", answer=answer, about=about(answer), fidelity_head=FIDELITY,
        fidelity=fidelity_rows(answer), course_head=(f"each {piece}", *COURSES[1:]), courses=course_rows(answer),
        effect_head=EFFECTS, changes=changes, figures=on_page(sheets(answer)),
        document=data_uri("application/json", to_json(as_json(answer))))


def sheets(answer: WhatIf) -> Iterator[Sheet]:
    """The figures there is something to draw for."""
    if answer.courses:
        caption = ("Recorded and simulated, piece by piece behind the warm-up (shaded). Where the curves part at some "
                   "times only, something happened there that the configuration does not know.")
        yield Sheet("past", "The past, recorded and simulated", caption, f"Recorded and simulated over time. {caption}",
                    partial(figures.over_time, answer))
    if figures.judged(answer):
        caption = ("Difference of the simulated past to the recorded one; the band is the trust. Percentage points of "
                   "ratios, per cent of anything else.")
        yield Sheet("fidelity", "How far the simulation is off", caption, caption, partial(figures.fidelity, answer))
    if any(change.effects for change in answer.changes):
        caption = ("Against the simulated past, paired by seed. A full dot is a difference whose sign is known at this "
                   "confidence, a hollow one is not. The line at 0 is the past.")
        yield Sheet("changes", "What each change does", caption, caption, partial(figures.changes, answer))
