"""`mmesim what-if`: the recorded past simulated, how true that is, and what a change would have done."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmesim.cli.ending import EXIT_INTERRUPTED, EXIT_NOT_MET
from mmesim.cli.output import note, page, print_json
from mmesim.cli.progress import no_steps, steps
from mmesim.cli.shares import share
from mmesim.errors import InputError, Problem

if TYPE_CHECKING:
    from mmesim.planner.history.run import Prepared, Question
    from mmesim.results.history import WhatIf

Say = Callable[[str], None]
EXPANSIONS = ("uniform", "poisson", "even")


def what_if(
    scenario: Annotated[str, typer.Argument(help="The current configuration: a scenario file, or a packaged example.")],
    past: Annotated[Path, typer.Option(
        metavar="PAST", help="What was recorded: the state or journal folder of a live endpoint, the folder of a run "
                             "or load test, a request log or trace, or CloudWatch's metrics of the endpoint.")],
    past_metrics: Annotated[list[Path] | None, typer.Option(
        metavar="FILE", help="CloudWatch's record besides: answers of get-metric-data or get-metric-statistics, the "
                             "console's CSV, the queries. Repeatable.")] = None,
    begins: Annotated[str | None, typer.Option(
        metavar="TIME", help="The wall clock at the past's time 0 (ISO 8601), where it does not tell.")] = None,
    change: Annotated[list[str] | None, typer.Option(
        metavar='"PATH=VALUE; …"', help="One thing to change, maybe by several settings. Repeatable.")] = None,
    set_: Annotated[list[str] | None, typer.Option(
        "--set", metavar="PATH=VALUE", help="Correct a setting of the current configuration. Repeatable.")] = None,
    from_: Annotated[str | None, typer.Option(
        "--from", metavar="TIME", help="Begin of the slice: since the past's beginning (2d), or ISO 8601.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="TIME", help="End of the slice.")] = None,
    last: Annotated[str | None, typer.Option(metavar="7d", help="The end of the past, so long.")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Runs of the past, and of each change.")] = 3,
    confidence: Annotated[str, typer.Option(help="Of the intervals.")] = "95%",
    trust: Annotated[str, typer.Option(help="How far simulated and recorded latency may be apart.")] = "10%",
    trust_points: Annotated[str, typer.Option(help="The same of hit ratio and error rate, in points.")] = "1%",
    expand: Annotated[str, typer.Option(
        help="How the count of a minute becomes times: uniform, poisson or even.")] = "uniform",
    check: Annotated[bool, typer.Option(
        "--check", help="Exit 1 when the simulated past is not within the trust.")] = False,
    processes: Annotated[int, typer.Option(help="At most so many at once; -1: one for each core.")] = -1,
    out: Annotated[Path, typer.Option(help="Folder for results; each question gets OUT/<name>/.")] = Path("reports"),
    name: Annotated[str | None, typer.Option(help="Name of the question; default: <scenario>-what-if.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Do not draw report.html.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, no notes.")] = False,
) -> None:
    """Simulate what was recorded, say how true that is, then change one thing.

    The recorded requests are sent to the current configuration; every number that both have is told side by side
    before anything else. Each --change then runs with the same requests and seeds. Finished runs are stored: the same
    command goes on where it was.

    Examples:

      mmesim what-if my.yaml --past live-state --change endpoint.eviction.gpu=gdsf

      mmesim what-if my.yaml --past reports/my-live --change "endpoint.instances=2; endpoint.eviction.gpu=gdsf"

      mmesim what-if my.yaml --past march.csv.gz --last 7d --trust 5% --check

      mmesim what-if my.yaml --past calls.json --past-metrics metrics.json --past-metrics queries.json --seeds 5
    """
    from mmesim.planner.history.run import prepare
    say: Say = (lambda _: None) if quiet else note
    prepared = prepare(_question(scenario, past, past_metrics, begins, change, set_, (from_, to, last), seeds,
                                 confidence, trust, trust_points, expand, processes, out, name))
    answer = _answered(prepared, say, as_json=as_json, bar=not quiet)
    if as_json:
        from mmesim.results.history_files import as_json as document
        print_json(document(answer))
    _write(answer, prepared.question.cells.parent, say, report=not no_report)
    if check and answer.trusted is not True:
        raise typer.Exit(EXIT_NOT_MET)


def _question(scenario: str, past: Path, metrics: list[Path] | None, begins: str | None, change: list[str] | None,
              set_: list[str] | None, when: tuple[str | None, str | None, str | None], seeds: int, confidence: str,
              trust: str, trust_points: str, expand: str, processes: int, out: Path, name: str | None) -> Question:
    """The options as a question. Raises InputError with what is wrong with one."""
    from mmesim.parallel import Workers
    from mmesim.planner.history.fidelity import Trust
    from mmesim.planner.history.read import read_past, sliced
    from mmesim.planner.history.run import Question
    from mmesim.results.folders import CELLS
    from mmesim.results.history_files import check_folder
    from mmesim.scenario.load import load_scenario
    if expand not in EXPANSIONS:
        raise InputError(Problem(f"{expand} is no way to place requests in a minute", file="--expand",
                                 hint=f"one of {', '.join(EXPANSIONS)}"))
    folder = out / (name or f"{load_scenario(scenario, set_ or ()).name}-what-if")
    check_folder(folder)
    recorded = sliced(read_past(past, metrics or (), begins), *when)
    return Question(
        scenario, recorded, change or (), folder / CELLS, set_ or (), seeds,
        share("--confidence", confidence), Trust(share("--trust", trust), share("--trust-points", trust_points)),
        expand, Workers(processes), folder.name, shlex.join(["mmesim", *sys.argv[1:]]))


def _answered(prepared: Prepared, say: Say, *, as_json: bool, bar: bool) -> WhatIf:
    """Run what is missing; fidelity is shown as soon as it is known."""
    from mmesim.dataplane.compiled import warm_up
    from mmesim.planner.history.run import what_if as answer
    from mmesim.report.history.terminal import print_changes, print_fidelity
    warm_up(say)

    def tell(found: WhatIf) -> None:
        if not as_json:
            with page() as console:
                print_fidelity(found, console)

    try:
        found = answer(prepared, steps if bar else no_steps, say, tell)
    except KeyboardInterrupt:
        say("stopped; what is finished is stored: the same command goes on from there")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if not as_json:
        with page() as console:
            print_changes(found, console)
    return found


def _write(answer: WhatIf, folder: Path, say: Say, *, report: bool) -> None:
    from mmesim.results.history_files import in_place, save
    with in_place(folder) as scratch:
        save(answer, scratch)
        if report:
            from mmesim.report.history.html import write_history_report
            write_history_report(answer, scratch / "report.html")
    say(f"\nresults in {folder}/" + (f"; open {folder}/report.html" if report else ""))
