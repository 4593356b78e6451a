"""`mmesim run`: one scenario, simulated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmesim import __version__
from mmesim.cli.output import note, print_json

if TYPE_CHECKING:
    from mmesim.results.run import Run
    from mmesim.scenario.build import Build
    from mmesim.scenario.schema import Scenario

EXIT_OBJECTIVE_MISSED = 1
OUT = "reports"


def run(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or the name of a packaged example.")],
    set_: Annotated[list[str] | None, typer.Option(
        "--set", metavar="PATH=VALUE", help="Override a setting, e.g. endpoint.instances.max=8. Repeatable.")] = None,
    seed: Annotated[int | None, typer.Option(help="Override the scenario's seed.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for results; each run gets OUT/<name>/.")] = Path(OUT),
    name: Annotated[str | None, typer.Option(help="Override the name of the run (and of its folder).")] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 when the objective is missed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Do not draw report.html.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the scenario, simulate nothing.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Simulate a scenario; print the summary, write summary.json, tables, trace and report.html.

    Examples:

      mmesim run quickstart

      mmesim run my.yaml --set endpoint.instances.max=8 --set endpoint.eviction.gpu=lfu

      mmesim run azure-day --set workload.trace=day.csv.gz --json
    """
    from mmesim.scenario.load import load_scenario
    extra = [f"seed={seed}"] if seed is not None else []
    loaded = load_scenario(scenario, [*(set_ or ()), *extra, *([f"name={name}"] if name else [])])
    if dry_run:
        note(f"{loaded.name}: the scenario is fine")
        return
    result, folder = _simulate(loaded, out, quiet=quiet or as_json, report=loaded.output.report and not no_report)
    _show(result, folder, as_json)
    if check and not result.summary["objective"]["met"]:
        raise typer.Exit(EXIT_OBJECTIVE_MISSED)


def _simulate(scenario: Scenario, out: Path, *, quiet: bool, report: bool) -> tuple[Run, Path]:
    """Build, run, write; nothing is left behind when it fails."""
    from mmesim.dataplane.compiled import warm_up
    from mmesim.journal.record import NAME, JournalWriter
    from mmesim.results.output import OutputWriter
    from mmesim.scenario.build import build
    from mmesim.sim.run import simulate
    built = build(scenario)
    warm_up(note)
    writer = OutputWriter(out / scenario.name)
    try:
        header = {"mmesim": __version__, "scenario": scenario.resolved()}
        journal = JournalWriter(writer.path(NAME), header) if scenario.output.journal else None
        with _progress(built, quiet) as tick:
            result = simulate(built, out=writer, journal=journal, progress=tick)
        return result, result.save(extra=_report(result) if report else None)
    except BaseException:
        writer.discard()
        raise


def _report(result: Run) -> dict[str, str]:
    from mmesim.report.html import render_report
    return {"report.html": render_report(result)}


def _progress(built: Build, quiet: bool):  # type: ignore[no-untyped-def]
    from mmesim.cli.progress import simulated_time
    return simulated_time(built.scenario.name, built.duration_ns, quiet=quiet)


def _show(result: Run, folder: Path, as_json: bool) -> None:
    if as_json:
        print_json(result.summary)
        return
    from mmesim.cli.output import console
    from mmesim.report.terminal import print_summary
    print_summary(result, console())
    note(f"results in {_shown(folder)}/: {', '.join(sorted(path.name for path in folder.iterdir()))}")


def _shown(folder: Path) -> Path:
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
