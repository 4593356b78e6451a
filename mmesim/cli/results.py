"""`mmesim report`: draw what a command has found again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmesim.cli.output import note, page, print_json


def report(
    folder: Annotated[Path, typer.Argument(help="A result folder, e.g. reports/quickstart.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON, draw nothing.")] = False,
) -> None:
    """Print what a run, a comparison, a plan or a what-if has found, and draw its report.html again.

    Examples:

      mmesim report reports/quickstart

      mmesim report reports/quickstart-compare

      mmesim report reports/quickstart-plan

      mmesim report reports/quickstart --json
    """
    from mmesim.results import comparison_files, history_files, plan_files
    kinds = {comparison_files.MARKER: _comparison, plan_files.MARKER: _plan, history_files.MARKER: _what_if}
    show = next((show for marker, show in kinds.items() if (folder / marker).is_file()), _run)
    if show(folder, as_json):
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


def _plan(folder: Path, as_json: bool) -> bool:
    """Show a plan; True when its page was drawn."""
    from mmesim.results.plan_files import DEPLOY, load
    from mmesim.results.plan_files import as_json as as_data
    plan = load(folder)
    if as_json:
        print_json(as_data(plan))
        return False
    from mmesim.report.plan.html import write_plan_report
    from mmesim.report.plan.terminal import print_plan
    with page() as console:
        print_plan(plan, console)
    write_plan_report(plan, folder / "report.html", sorted(path.name for path in folder.glob(f"{DEPLOY}/*")))
    return True


def _what_if(folder: Path, as_json: bool) -> bool:
    """Show an answer about the past; True when its page was drawn."""
    from mmesim.results.history_files import as_json as as_data
    from mmesim.results.history_files import load
    answer = load(folder)
    if as_json:
        print_json(as_data(answer))
        return False
    from mmesim.report.history.html import write_history_report
    from mmesim.report.history.terminal import print_changes, print_fidelity
    with page() as console:
        print_fidelity(answer, console)
        print_changes(answer, console)
    write_history_report(answer, folder / "report.html")
    return True
