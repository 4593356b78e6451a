"""`mmesim report`: draw a finished run, or a comparison, again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmesim.cli.output import note, page, print_json


def report(
    folder: Annotated[Path, typer.Argument(help="A result folder, e.g. reports/quickstart, of a run or a comparison.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON, draw nothing.")] = False,
) -> None:
    """Print the summary of a finished run, or a comparison, and draw its report.html again.

    Examples:

      mmesim report reports/quickstart

      mmesim report reports/quickstart-compare

      mmesim report reports/quickstart --json
    """
    from mmesim.results.comparison_files import MARKER
    drawn = (_comparison if (folder / MARKER).is_file() else _run)(folder, as_json)
    if drawn:
        note(f"drew {folder / 'report.html'}")


def _run(folder: Path, as_json: bool) -> bool:
    """Show a run; True when its page was drawn."""
    from mmesim.results.run import Run
    result = Run.load(folder)
    if as_json:
        print_json(result.summary)
        return False
    from mmesim.report.html import write_report
    from mmesim.report.terminal import print_summary
    with page() as console:
        print_summary(result, console)
    write_report(result, folder / "report.html")
    return True


def _comparison(folder: Path, as_json: bool) -> bool:
    """Show a comparison; True when its page was drawn."""
    from mmesim.cli.compare_table import show
    from mmesim.results.comparison_files import load
    comparison = load(folder)
    show(comparison, as_json)
    if as_json:
        return False
    from mmesim.report.comparison.html import write_comparison_report
    write_comparison_report(comparison, folder / "report.html")
    return True
