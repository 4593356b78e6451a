"""`mmesim profile analyze`: measures models on a real Triton server and writes their profiles."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mmesim.cli import analyze_options as opt
from mmesim.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from mmesim.calibrate.analyze import Plan, Progress


def profile_analyze(
    repository: opt.Repository = None, models: opt.Models = "", out: opt.Out = None, only: opt.Only = "",
    skip: opt.Skip = "", batch_sizes: opt.BatchSizes = "1,2,4,8", concurrency: opt.Concurrency = "1,2,4,8",
    instances: opt.Instances = "", runs: opt.Runs = 5, parallel: opt.Parallel = "2,4", window: opt.Window = "2s",
    shape: opt.Shape = None, archive: opt.Archive = None, triton_server: opt.TritonServer = None, url: opt.Url = "",
    grpc_url: opt.GrpcUrl = "", metrics_url: opt.MetricsUrl = "", gpu: opt.GpuName = "", precision: opt.Precision = "",
    example: opt.Example = None, dry_run: opt.DryRun = False, as_json: opt.Json = False,
) -> None:
    """Measure models on a real Triton server, with or without a GPU, and write a profile of each.

    Model Analyzer takes latency and throughput over batch sizes, concurrencies and instance counts. Measured besides:
    loads (warm and cold page cache, several at once), unloads, the first inference after a load, memory of the first
    and of each further copy, CPU time, inference during a load, models side by side, archive and extraction. What was
    not measured is absent from the profile.

    Examples:

      mmesim profile analyze --example models  &&  mmesim profile analyze models --dry-run

      mmesim profile analyze models --models sleep-small --batch-sizes 1,4 --concurrency 1,4

      mmesim profile analyze /opt/models --instances 1,2 --only grid,memory,load

      mmesim profile analyze --url localhost:8000 --gpu T4 --models resnet50 --only grid,load
    """
    if example is not None:
        from mmesim.triton.example import write_example
        note(f"mmesim profile analyze {write_example(example)}")
        return
    from mmesim.calibrate.analyze import AnalyzeSettings, make_plan
    grid = {"batch_sizes": opt.numbers(batch_sizes, "--batch-sizes"), "parallel": opt.numbers(parallel, "--parallel"),
            "concurrencies": opt.numbers(concurrency, "--concurrency"),
            "instance_counts": opt.numbers(instances, "--instances")}
    plan = make_plan(AnalyzeSettings(
        repository=repository, folder=out or Path(f"analyze-{(repository or Path('remote')).resolve().name}"),
        models=opt.models(repository, url, models), kinds=opt.kinds(only, skip), runs=runs,
        window_s=opt.seconds(window), shapes=dict(map(opt.shape, shape or ())),
        archives=dict(map(opt.archive, archive or ())), **grid,
        server_program=triton_server, gpu=gpu, precision=precision,
        **opt.urls(url, grpc_url, metrics_url, gpu)))
    _print_plan(plan, as_json) if dry_run else _run(plan, as_json)


def _run(plan: Plan, as_json: bool) -> None:
    from mmesim.calibrate.analyze import run_plan
    from mmesim.calibrate.analyze.assemble import write_profiles
    from mmesim.calibrate.analyze.run import changed_steps, result_of
    folder = plan.settings.folder
    done = sum(result_of(folder, step) is not None for step in plan.steps)
    if done:
        note(f"{done} of {len(plan.steps)} measurements are in {folder} already")
    if changed := changed_steps(plan):
        note(f"{len(changed)} were made with other files or settings and are made anew: {', '.join(changed[:4])}"
             + (" …" if len(changed) > 4 else ""))
    with _bar() as tell:
        run_plan(plan, tell)
    rows = write_profiles(plan.settings, plan.digests)
    if as_json:
        print_json(rows)
        return
    lacking = ",".join(dict.fromkeys(kind for row in rows for kind in row["not measured"]))
    repository = plan.settings.repository or "REPOSITORY"
    rest = f"the rest: mmesim profile analyze {repository} --out {folder} --only {lacking}"
    print_table([{**row, "not measured": ", ".join(row["not measured"])} for row in rows],
                caption="\n".join([*plan.remarks, *([rest] if lacking else [])]))


def _print_plan(plan: Plan, as_json: bool) -> None:
    from mmesim.calibrate.analyze.run import result_of
    from mmesim.units import format_duration
    states = [(step, result_of(plan.settings.folder, step) is not None) for step in plan.steps]
    left_s = sum(step.estimate_s for step, done in states if not done)
    if as_json:
        print_json({"folder": str(plan.settings.folder), "left_s": left_s, "remarks": plan.remarks, "steps": [
            {"step": step.name, "estimate_s": step.estimate_s, "done": done} for step, done in states]})
        return
    print_table([{"step": step.name, "takes about": "done" if done else format_duration(step.estimate_s)}
                 for step, done in states],
                caption="\n".join([f"{format_duration(left_s)} in all, into {plan.settings.folder}", *plan.remarks]))


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    """Gives the function that shows where the run is; on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from mmesim.units import format_duration
    with Progress(TextColumn("{task.fields[step]}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn(),
                  TextColumn("{task.fields[left]}"), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1, step="", left="")
        yield lambda at: bar.update(task, total=at.total, completed=at.done, step=at.step,
                                    left=f"about {format_duration(at.left_s)} left")
