"""`mmesim report`: draw a finished run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmesim.cli.output import note, page, print_json


def report(
    run: Annotated[Path, typer.Argument(help="A result folder, e.g. reports/quickstart.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, draw nothing.")] = False,
) -> None:
    """Print the summary of a finished run and draw its report.html again.

    Examples:

      mmesim report reports/quickstart

      mmesim report reports/quickstart --json
    """
    from mmesim.results.run import Run
    result = Run.load(run)
    if as_json:
        print_json(result.summary)
        return
    from mmesim.report.html import write_report
    from mmesim.report.terminal import print_summary
    with page() as console:
        print_summary(result, console)
    write_report(result, run / "report.html")
    note(f"drew {run / 'report.html'}")
