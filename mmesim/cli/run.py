"""`mmesim run`: one scenario, simulated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmesim.cli.ending import EXIT_INTERRUPTED, EXIT_NOT_MET
from mmesim.cli.output import note, page, print_json
from mmesim.cli.shares import share
from mmesim.errors import InputError, Problem

if TYPE_CHECKING:
    from mmesim.planner.check.seeds import Checked, Question
    from mmesim.results.output import OutputWriter
    from mmesim.results.run import Run
    from mmesim.scenario.build import Build
    from mmesim.scenario.schema import Scenario

OUT = "reports"
SEEDS = 5
"""Of a check, at most."""
Say = Callable[[str], None]


def run(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or the name of a packaged example.")],
    set_: Annotated[list[str] | None, typer.Option(
        "--set", metavar="PATH=VALUE", help="Override a setting, e.g. endpoint.instances.max=8. Repeatable.")] = None,
    seed: Annotated[int | None, typer.Option(help="Override the scenario's seed.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for results; each run gets OUT/<name>/.")] = Path(OUT),
    name: Annotated[str | None, typer.Option(help="Override the name of the run (and of its folder).")] = None,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 when the objective is missed beyond the noise: "
                                                        "further seeds are run until that is known.")] = False,
    seeds: Annotated[int | None, typer.Option(
        min=1, max=1000, help="With --check: at most so many (default 5); 1: the run is judged as it is.")] = None,
    confidence: Annotated[str | None, typer.Option(help="With --check: of its answer (default 95%).")] = None,
    processes: Annotated[int, typer.Option(help="With --check: at most so many at once; -1: one for each core.")] = -1,
    as_json: Annotated[bool, typer.Option(
        "--json", help="Print JSON: the summary; with --dry-run all settings.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Do not draw report.html.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the scenario, simulate nothing.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, no notes.")] = False,
) -> None:
    """Simulate a scenario; print the summary, write summary.json, tables, trace and report.html.

    Ctrl-C ends a run early: what was simulated is kept and marked, and the exit code is 130.

    Examples:

      mmesim run quickstart

      mmesim run my.yaml --set endpoint.instances.max=8 --set endpoint.eviction.gpu=lfu

      mmesim run my.yaml --seed 8 --name second-seed

      mmesim run my.yaml --check --seeds 10 --confidence 99%

      mmesim run azure-day --set workload.trace=day.csv.gz --json > day.json
    """
    from mmesim.scenario.load import load_scenario
    loaded = load_scenario(scenario, [*(set_ or ()), *_as_settings(seed, name)])
    asked = _asked(loaded, out, seeds, confidence, processes) if check else _nothing_asked(seeds, confidence)
    say: Say = (lambda _: None) if quiet else note
    if dry_run:
        _dry_run(loaded, as_json, say)
        return
    result, folder = simulate_to(loaded, out, say, bar=not quiet, report=loaded.output.report and not no_report)
    if asked is None or result.partial:
        show(result, folder, as_json, say)
        raise typer.Exit(EXIT_INTERRUPTED if result.partial else 0)
    checked = _checked(asked, result, bar=not quiet)
    show(result, folder, as_json, say, checked)
    raise typer.Exit(EXIT_NOT_MET if checked.status == "missed" else 0)


def _as_settings(seed: int | None, name: str | None) -> list[str]:
    """The two options that are settings, as `--set` takes them (JSON is YAML: a name stays text)."""
    import json
    given = {"seed": seed, "name": name}
    return [f"{setting}={json.dumps(value)}" for setting, value in given.items() if value is not None]


def _asked(scenario: Scenario, out: Path, seeds: int | None, confidence: str | None, processes: int) -> Question:
    """What --check is to find out. Raises InputError."""
    from mmesim.parallel import Workers
    from mmesim.planner.check.seeds import Question
    from mmesim.results.folders import CELLS
    question = Question(scenario, seeds or SEEDS, share("--confidence", confidence or "95%", above=0.5),
                        out / f"{scenario.name}-check" / CELLS, Workers(processes))
    if not question.targets:
        hint = "give one, e.g. --set objective.p99_ms=500"
        raise InputError(Problem("nothing to --check: the scenario has no objective", hint=hint))
    return question


def _nothing_asked(seeds: int | None, confidence: str | None) -> None:
    for option, value in (("--seeds", seeds), ("--confidence", confidence)):
        if value is not None:
            raise InputError(Problem("has no effect without --check", file=option, hint="leave it out, or add --check"))


def _checked(question: Question, first: Run, *, bar: bool) -> Checked:
    """With the run that was made already, and more."""
    from mmesim.cli.progress import no_steps, steps
    from mmesim.planner.check.seeds import check
    from mmesim.planner.runs.cells import cell_of
    [order] = question.orders(1)
    order.store(cell_of(first))
    return check(question, steps if bar else no_steps)


def _dry_run(scenario: Scenario, as_json: bool, say: Say) -> None:
    """Everything but the simulation."""
    from mmesim.scenario.build import build
    from mmesim.units import format_duration, seconds
    built = build(scenario)
    if as_json:
        print_json(scenario.model_dump(mode="json", by_alias=True))
    say(f"{scenario.name}: the scenario is fine ({len(built.models)} models on {built.instance_type.name}, "
        f"{format_duration(seconds(built.duration_ns))})")


def simulate_to(scenario: Scenario, out: Path, say: Say, *, bar: bool, report: bool) -> tuple[Run, Path]:
    """Build, run, write to ``out/<name>``; nothing is left behind when it fails."""
    from mmesim.results.output import OutputWriter
    from mmesim.scenario.build import build
    built = build(scenario)
    writer = OutputWriter(out / scenario.name)
    try:
        result = _simulated(built, writer, say, bar)
        result.write(writer)
        if report:
            from mmesim.report.html import write_report
            write_report(result, writer.path("report.html"))
        return result, writer.commit()
    except BaseException:
        writer.discard()
        raise


def _simulated(built: Build, writer: OutputWriter, say: Say, bar: bool) -> Run:
    from mmesim.cli.progress import simulated_time
    from mmesim.dataplane.compiled import warm_up
    from mmesim.journal.record import NAME, JournalWriter
    from mmesim.sim.blame import policies_to_blame
    from mmesim.sim.run import simulate
    warm_up(say)
    journal = JournalWriter(writer.path(NAME), built) if built.scenario.output.journal else None
    with simulated_time(built.scenario.name, built.duration_ns, wanted=bar) as tick, policies_to_blame(built.policies):
        return simulate(built, out=writer, journal=journal, progress=tick, say=say)


def show(result: Run, folder: Path, as_json: bool, say: Say, checked: Checked | None = None) -> None:
    """A result that was written to `folder`, on stdout; and what a check of it found."""
    if as_json:
        from mmesim.cli.run_check import as_data
        print_json(result.summary if checked is None else {**result.summary, "check": as_data(checked)})
    else:
        from mmesim.report.terminal import print_summary
        with page() as console:
            print_summary(result, console)
        if checked is not None:
            from mmesim.cli.run_check import print_checked
            print_checked(checked)
    shown = _shown(folder)
    say(f"\nresults in {shown}/" + (f"; open {shown}/report.html" if (folder / "report.html").exists() else ""))


def _shown(folder: Path) -> Path:
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
