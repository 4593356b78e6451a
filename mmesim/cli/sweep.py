"""`mmesim sweep`: a grid or a random design over any settings, as a table."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmesim.cli.ending import EXIT_INTERRUPTED
from mmesim.cli.output import note
from mmesim.cli.progress import no_steps, steps
from mmesim.errors import InputError, Problem, alternatives

if TYPE_CHECKING:
    from mmesim.parallel import Workers
    from mmesim.planner.sweep.design import Settings
    from mmesim.planner.sweep.points import Point
    from mmesim.planner.sweep.run import SweepPlan
    from mmesim.results.sweep import Sweep
    from mmesim.scenario.schema import Scenario

Say = Callable[[str], None]


def sweep(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or the name of a packaged example.")],
    vary: Annotated[list[str] | None, typer.Option(
        metavar="PATH=V1,V2", help="A setting and its values, also 1..8 or 10..90/10; several make a grid.")] = None,
    random: Annotated[int, typer.Option(
        min=0, metavar="N", help="N random points over --range and --choice, for each point of --vary.")] = 0,
    range_: Annotated[list[str] | None, typer.Option(
        "--range", metavar="PATH=LOW..HIGH[,log][,int][,UNIT]", help="A number of the random design.")] = None,
    choice: Annotated[list[str] | None, typer.Option(
        metavar="PATH=V1,V2", help="A choice of the random design.")] = None,
    design: Annotated[str, typer.Option(metavar="latin|sobol", help="Of the random points.")] = "latin",
    points: Annotated[Path | None, typer.Option(
        metavar="FILE.csv", help="Points of your own: a setting's path in each column's head.")] = None,
    set_: Annotated[list[str] | None, typer.Option(
        "--set", metavar="PATH=VALUE", help="Override a setting in all points. Repeatable.")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Runs of each point.")] = 1,
    confidence: Annotated[str, typer.Option(help="Of the intervals over seeds.")] = "95%",
    rank_by: Annotated[str | None, typer.Option(metavar="KEY", help="E.g. cache.hit_ratio; else as compare.")] = None,
    metric: Annotated[str | None, typer.Option(metavar="KEY", help="In the figure; default: the ranking's.")] = None,
    skip_invalid: Annotated[bool, typer.Option("--skip-invalid", help="What cannot run is a row with error.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the points, and how many runs are stored.")] = False,
    processes: Annotated[int, typer.Option(help="At most so many at once; -1: one for each core.")] = -1,
    cluster: Annotated[str | None, typer.Option(
        metavar="ADDRESS", help="Run on a cluster: tcp://HOST:PORT (Dask), ray://HOST:PORT, ray://auto (Ray).")] = None,
    out: Annotated[Path, typer.Option(help="Folder for results; each sweep gets OUT/<name>/.")] = Path("reports"),
    name: Annotated[str | None, typer.Option(help="Name of the sweep; default: <scenario>-sweep.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the sweep and its points as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, no notes.")] = False,
) -> None:
    """Run many points of a scenario's settings with the same seeds; write a table with a row a run, and one a point.

    Finished runs are stored: a sweep that was stopped goes on where it was, and one with more points or seeds runs only
    what is new. The same command runs on a cluster: what the scenario names goes along.

    Examples:

      mmesim sweep quickstart --vary endpoint.instances=1..4 --vary endpoint.eviction.gpu=lru,lfu --seeds 3

      mmesim sweep my.yaml --random 64 --range endpoint.instances=1..8,int --range workload.scale=0.5..4,log

      mmesim sweep my.yaml --points design.csv --skip-invalid

      mmesim sweep my.yaml --vary workload.scale=1..10 --seeds 20 --cluster tcp://scheduler:8786
    """
    from mmesim.cli.sweep_table import show_design
    from mmesim.parallel import Workers
    from mmesim.planner.sweep.design import design as designed
    from mmesim.planner.sweep.run import stored
    from mmesim.scenario.load import load_scenario
    say: Say = (lambda _: None) if quiet else note
    base = load_scenario(scenario, set_ or ())
    asked = designed(vary=vary or (), ranges=range_ or (), choices=choice or (), random=random, kind=design,
                     file=points, seed=base.seed)
    folder = out / (name or f"{base.name}-sweep")
    plan_of = _plan(base, folder, seeds, confidence, rank_by, metric, Workers(processes, cluster))
    plan = plan_of(points=_checked(scenario, set_ or (), asked, processes, quiet, keep_all=skip_invalid or dry_run))
    if dry_run:
        show_design(plan.points, stored(plan), seeds, as_json)
        return
    _write(_swept(plan, say, quiet), folder, metric, as_json, say)


def _plan(base: Scenario, folder: Path, seeds: int, confidence: str, rank_by: str | None, metric: str | None,
          workers: Workers) -> Callable[..., SweepPlan]:
    """The options as a plan that lacks its points. Raises InputError with what is wrong with one."""
    from mmesim.cli.shares import share
    from mmesim.planner.compare.ranking import known_key
    from mmesim.planner.runs.cells import KEPT
    from mmesim.planner.sweep.run import SweepPlan
    from mmesim.results.folders import CELLS
    from mmesim.results.sweep_files import check_folder
    check_folder(folder)
    if metric is not None and metric not in KEPT:
        raise InputError(Problem(f"there is no metric {metric!r}", file="--metric", hint=alternatives(metric, KEPT)))
    return partial(SweepPlan, base, seeds=seeds, cells=folder / CELLS, name=folder.name,
                   command=shlex.join(["mmesim", *sys.argv[1:]]), confidence=share("--confidence", confidence),
                   rank_by=None if rank_by is None else known_key(rank_by), workers=workers)


def _checked(scenario: str, overrides: Sequence[str], asked: Sequence[Settings], processes: int, quiet: bool, *,
             keep_all: bool) -> Sequence[Point]:
    """The points, loaded. Raises InputError with what is wrong with them, unless all are to be kept."""
    from mmesim.planner.sweep.points import all_valid, checked
    with (no_steps if quiet else steps)("checking points", len(asked)) as done:
        found = checked(scenario, overrides, asked, processes, done)
    return found if keep_all else all_valid(found)


def _swept(plan: SweepPlan, say: Say, quiet: bool) -> Sweep:
    """Run what is missing; Ctrl-C ends the command and keeps what is finished."""
    from mmesim.dataplane.compiled import warm_up
    from mmesim.planner.sweep.run import stored
    from mmesim.planner.sweep.run import sweep as run_all
    if plan.workers.cluster is None:
        warm_up(say)
    try:
        return run_all(plan, no_steps if quiet else steps, say)
    except KeyboardInterrupt:
        say(f"stopped; {stored(plan)} runs are stored: the same command goes on from there")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _write(found: Sweep, folder: Path, metric: str | None, as_json: bool, say: Say) -> None:
    from mmesim.cli.sweep_table import show
    from mmesim.report.sweep_figure import draw_sweep
    from mmesim.results.folders import in_place
    from mmesim.results.sweep_files import MARKER, save
    with in_place(folder, MARKER) as scratch:
        save(found, scratch)
        for suffix in ("png", "svg"):
            draw_sweep(found, scratch / f"sweep.{suffix}", metric)
    show(found, as_json)
    say(f"\nresults in {folder}/: points.parquet, summary.parquet, sweep.json, sweep.png, sweep.svg")
