"""`mmesim compare`: variants of a scenario under the same random numbers, with intervals."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmesim.cli.ending import EXIT_INTERRUPTED
from mmesim.cli.output import figure_formats, note
from mmesim.cli.progress import no_steps, steps
from mmesim.cli.shares import share
from mmesim.errors import InputError, Problem

if TYPE_CHECKING:
    from mmesim.parallel import Workers
    from mmesim.planner.compare.run import Plan
    from mmesim.planner.compare.variants import Contender
    from mmesim.results.comparison import Comparison

SEEDS, MOST_SEEDS = 10, 30
Say = Callable[[str], None]


def compare(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or the name of a packaged example.")],
    vary: Annotated[list[str] | None, typer.Option(
        metavar="PATH=V1,V2", help="A setting and its values; several make a full grid.")] = None,
    variant: Annotated[list[str] | None, typer.Option(
        metavar='"NAME: PATH=V; PATH=V"', help="One variant made by hand. Repeatable.")] = None,
    set_: Annotated[list[str] | None, typer.Option(
        "--set", metavar="PATH=VALUE", help="Override a setting in all variants. Repeatable.")] = None,
    baseline: Annotated[str | None, typer.Option(
        help="Name of the variant that the others are compared to; default: the scenario as it stands.")] = None,
    seeds: Annotated[int | None, typer.Option(
        min=1, max=1000, help="Runs of each variant; with --until-decided at most so many (default 10; 30).")] = None,
    until_decided: Annotated[str | None, typer.Option(
        metavar="95%", help="Add seeds until neighbours in the ranking are told apart, or alike, at this "
                            "confidence.")] = None,
    indifference: Annotated[str, typer.Option(help="Variants that differ by less are alike.")] = "1%",
    confidence: Annotated[str, typer.Option(help="Of the intervals.")] = "95%",
    rank_by: Annotated[str | None, typer.Option(
        metavar="KEY", help="E.g. cache.hit_ratio; default: the scenario's objective, else latency.all.p99.")] = None,
    memory: Annotated[str | None, typer.Option(
        metavar="50%,100%", help='Hit ratio against memory too, at these parts of it; "default": 25%, 50%, 100%, 200%.',
    )] = None,
    processes: Annotated[int, typer.Option(help="At most so many at once; -1: one for each core.")] = -1,
    cluster: Annotated[str | None, typer.Option(
        metavar="ADDRESS", help="Run on a cluster: tcp://HOST:PORT (Dask), ray://HOST:PORT, ray://auto (Ray).")] = None,
    out: Annotated[Path, typer.Option(help="Folder for results; each comparison gets OUT/<name>/.")] = Path("reports"),
    name: Annotated[str | None, typer.Option(help="Name of the comparison; default: <scenario>-compare.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole comparison as JSON.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Do not draw report.html.")] = False,
    figures: Annotated[str | None, typer.Option(
        metavar="png,svg", help="The report's figures as files too, in OUT/<name>/figures.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, no notes.")] = False,
) -> None:
    """Run variants of a scenario with the same seeds; say which is better, by how much, and what cannot be told apart.

    All variants of a seed get the same requests. Finished runs are stored: a comparison that was stopped goes on where
    it was, and one with more variants or seeds runs only what is new.

    Examples:

      mmesim compare quickstart --vary endpoint.eviction.gpu=lru,lfu --seeds 3

      mmesim compare my.yaml --vary endpoint.eviction.gpu=lru,lfu --vary endpoint.instances=2,4

      mmesim compare my.yaml --variant "big: endpoint.instance_type=ml.g4dn.4xlarge" --until-decided 95%

      mmesim compare my.yaml --vary endpoint.eviction.gpu=lru,my_policy.py:Mine --memory default
    """
    from mmesim.cli.compare_table import show
    from mmesim.parallel import Workers
    from mmesim.planner.compare.variants import contenders
    say: Say = (lambda _: None) if quiet else note
    formats = figure_formats(figures)
    chosen = contenders(scenario, vary=vary or (), variant=variant or (), overrides=set_ or (), baseline=baseline)
    folder = out / (name or f"{chosen[0].scenario.name}-compare")
    plan = _plan(chosen, folder, seeds, until_decided, confidence, indifference, rank_by, memory,
                 Workers(processes, cluster))
    comparison = _compared(plan, as_json, say, bar=not quiet)
    show(comparison, as_json)
    _write(comparison, folder, say, formats, report=not no_report)


def _plan(chosen: Sequence[Contender], folder: Path, seeds: int | None, until_decided: str | None, confidence: str,
          indifference: str, rank_by: str | None, memory: str | None, workers: Workers) -> Plan:
    """The options as a plan. Raises InputError with what is wrong with one."""
    from mmesim.planner.compare.ranking import known_key
    from mmesim.planner.compare.run import Plan
    from mmesim.results.comparison_files import check_folder
    from mmesim.results.folders import CELLS
    check_folder(folder)
    return Plan(
        chosen, seeds or (MOST_SEEDS if until_decided else SEEDS), folder / CELLS, name=folder.name,
        command=shlex.join(["mmesim", *sys.argv[1:]]), until_decided=until_decided is not None,
        confidence=share("--until-decided", until_decided) if until_decided else share("--confidence", confidence),
        indifference=share("--indifference", indifference), rank_by=None if rank_by is None else known_key(rank_by),
        memory=_memory(memory), workers=workers)


def _compared(plan: Plan, as_json: bool, say: Say, *, bar: bool) -> Comparison:
    """Run what is missing; Ctrl-C shows what is complete so far and ends the command."""
    from mmesim.cli.compare_table import show
    from mmesim.dataplane.compiled import warm_up
    from mmesim.planner.compare.run import compare as run_all
    from mmesim.planner.compare.run import finished
    warm_up(say)
    try:
        return run_all(plan, steps if bar else no_steps, say)
    except KeyboardInterrupt:
        say("stopped; what is finished is stored: the same command goes on from there")
        if (partial := finished(plan)) is not None:
            say(f"so far, {len(partial.seeds)} of {plan.seeds} seeds:")
            show(partial, as_json)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _memory(text: str | None) -> tuple[float, ...]:
    """The points of the curve; with the comparison's own memory, where it is asked for at all."""
    from mmesim.planner.compare.curve import USUAL
    from mmesim.units import parse_fraction
    if text is None:
        return ()
    if text == "default":
        return USUAL
    try:
        parts = tuple(parse_fraction(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(Problem(str(error), file=f"--memory {text}")) from None
    if not all(0 < part <= 1000 for part in parts):
        raise InputError(Problem("is not a list of parts of the memory", file=f"--memory {text}",
                                 hint="e.g. --memory 50%,100%,200%"))
    return tuple(sorted({*parts, 1.0}))


def _write(comparison: Comparison, folder: Path, say: Say, formats: Sequence[str], *, report: bool) -> None:
    from mmesim.results.comparison_files import in_place, save
    with in_place(folder) as scratch:
        save(comparison, scratch)
    if report:
        from mmesim.report.comparison.html import write_comparison_report
        with in_place(folder) as scratch:
            write_comparison_report(comparison, scratch / "report.html")
    if formats:
        from mmesim.report.comparison.html import write_comparison_figures
        with in_place(folder) as scratch:
            write_comparison_figures(comparison, scratch / "figures", formats)
    say(f"\nresults in {folder}/" + (f"; open {folder}/report.html" if report else ""))
