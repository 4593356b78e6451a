"""`mmesim profile analyze`: measures models on a real Triton server and writes their profiles."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmesim.cli.output import note, print_json, print_table
from mmesim.errors import InputError, Problem, alternatives

if TYPE_CHECKING:
    from mmesim.calibrate.analyze import Plan, Progress

Texts = list[str] | None


def profile_analyze(
    repository: Annotated[Path | None, typer.Argument(help="Triton's model repository.", show_default=False)] = None,
    models: Annotated[str, typer.Option(help="Only these models, comma-separated.", metavar="NAMES")] = "",
    out: Annotated[Path | None, typer.Option(help="The run's folder; default analyze-REPOSITORY. The same command "
                                             "continues a run that was stopped.", show_default=False)] = None,
    only: Annotated[str, typer.Option(help="Measure only these: grid, load, memory, work, slowdown, interference, "
                                      "artifact.", metavar="KINDS")] = "",
    skip: Annotated[str, typer.Option(help="Measure all but these.", metavar="KINDS")] = "",
    batch_sizes: Annotated[str, typer.Option(help="Items in a request.")] = "1,2,4,8",
    concurrency: Annotated[str, typer.Option(help="Requests in flight.")] = "1,2,4,8",
    instances: Annotated[str, typer.Option(help="Instance counts besides the model's own, e.g. 1,2.")] = "",
    runs: Annotated[int, typer.Option(help="How often loads, unloads and extractions are repeated.", min=1)] = 5,
    parallel: Annotated[str, typer.Option(help="So many loads at once.")] = "2,4",
    window: Annotated[str, typer.Option(help="Length of one measurement under load.")] = "2s",
    shape: Annotated[Texts, typer.Option(help="NAME:3,224,224 for an input with open dimensions; repeatable.",
                                         show_default=False)] = None,
    archive: Annotated[Texts, typer.Option(help="MODEL=s3://… or MODEL=https://…: measure its download; repeatable.",
                                           show_default=False)] = None,
    triton_server: Annotated[Path | None, typer.Option(help="The tritonserver program; default: on PATH, else the one "
                                                       "of mmesim\\[triton].", show_default=False)] = None,
    url: Annotated[str, typer.Option(help="HTTP address of a running server instead; it needs "
                                     "--model-control-mode=explicit.")] = "",
    grpc_url: Annotated[str, typer.Option(help="Its gRPC address; default: port 8001 beside --url.")] = "",
    metrics_url: Annotated[str, typer.Option(help="Its metrics; default: port 8002 beside --url.")] = "",
    gpu: Annotated[str, typer.Option(help="What the server computes on: T4 … or cpu; default: as nvidia-smi says. "
                                     "Needed with --url.")] = "",
    precision: Annotated[str, typer.Option(help="For the profile, e.g. fp16: no server tells it.")] = "",
    example: Annotated[Path | None, typer.Option(help="Write a repository of four small models to try, and end.",
                                                 show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and how long it takes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
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
        from mmesim.calibrate.triton.example import write_example
        note(f"mmesim profile analyze {write_example(example)}")
        return
    from mmesim.calibrate.analyze import AnalyzeSettings, make_plan
    numbers = {"batch_sizes": batch_sizes, "concurrencies": concurrency, "instance_counts": instances,
               "parallel": parallel}
    options = {name: _numbers(text, f"--{name.replace('_', '-')}") for name, text in numbers.items()}
    plan = make_plan(AnalyzeSettings(
        repository=repository, folder=out or Path(f"analyze-{(repository or Path('remote')).resolve().name}"),
        models=_models(repository, url, models), kinds=_kinds(only, skip), runs=runs, window_s=_seconds(window),
        shapes=dict(map(_shape, shape or ())), archives=dict(map(_archive, archive or ())),
        server_program=triton_server, gpu=gpu, precision=precision, **options,
        **_urls(url, grpc_url, metrics_url, gpu)))
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


# Options -------------------------------------------------------------------------------------------------------------

def _models(repository: Path | None, url: str, names: str) -> tuple[str, ...]:
    from mmesim.calibrate.analyze.settings import find_models
    wanted = tuple(filter(None, map(str.strip, names.split(","))))
    if repository is not None:
        return find_models(repository, wanted)
    if not url:
        raise InputError(Problem("no model repository is named", hint="mmesim profile analyze REPOSITORY; one to try: "
                                 "mmesim profile analyze --example FOLDER; a running server: --url"))
    if not wanted:
        raise InputError(Problem("no models are named", path="--models", hint="with --url and without a repository, "
                                 "name the models: --models a,b"))
    return wanted


def _kinds(only: str, skip: str) -> tuple[str, ...]:
    from mmesim.calibrate.analyze import KINDS
    chosen = _words(only, "--only", KINDS) or tuple(KINDS)
    left_out = _words(skip, "--skip", KINDS)
    return tuple(kind for kind in KINDS if kind in chosen and kind not in left_out)


def _words(text: str, option: str, known: dict[str, str]) -> tuple[str, ...]:
    words = tuple(filter(None, map(str.strip, text.split(","))))
    for word in words:
        if word not in known:
            raise InputError(Problem(f"{word!r} cannot be measured", path=option, hint=alternatives(word, known)))
    return words


def _numbers(text: str, option: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdigit() and int(part) for part in parts):
        raise InputError(Problem(f"{text!r} is not a list of numbers above 0", path=option, hint="write e.g. 1,2,4"))
    return tuple(sorted(set(map(int, parts))))


def _seconds(text: str) -> float:
    from mmesim.units import parse_duration_s
    try:
        return parse_duration_s(text)
    except ValueError as error:
        raise InputError(Problem(str(error), path="--window")) from None


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, sizes = text.rpartition(":")
    if not name:
        raise InputError(Problem(f"{text!r} is not a shape", path="--shape", hint="write e.g. INPUT:3,224,224"))
    return name, tuple(int(size) for size in _ordered(sizes, text))


def _ordered(sizes: str, text: str) -> list[str]:
    parts = sizes.split(",")
    if not all(part.strip().isdigit() for part in parts):
        raise InputError(Problem(f"{text!r} is not a shape", path="--shape", hint="write e.g. INPUT:3,224,224"))
    return parts


def _archive(text: str) -> tuple[str, str]:
    model, _, address = text.partition("=")
    if not model or not address.startswith(("s3://", "http://", "https://")):
        raise InputError(Problem(f"{text!r} is not MODEL=URL", path="--archive",
                                 hint="write e.g. resnet50=s3://bucket/resnet50.tar.gz"))
    return model, address


def _urls(url: str, grpc_url: str, metrics_url: str, gpu: str) -> dict[str, str]:
    """The three addresses of a running server; Triton's own ports where they are not given."""
    if not url:
        return {}
    if not gpu:
        raise InputError(Problem("what does the server compute on?", path="--gpu", hint="write --gpu T4, or --gpu cpu"))
    from urllib.parse import urlsplit
    full = url if "//" in url else f"http://{url}"
    host = urlsplit(full).hostname or ""
    return {"url": full, "grpc_url": grpc_url or f"{host}:8001",
            "metrics_url": metrics_url or f"http://{host}:8002/metrics"}
