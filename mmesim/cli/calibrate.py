"""`mmesim calibrate load-test`: a measured load test, predicted from its beginning."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmesim.cli.output import note, print_json, print_table
from mmesim.errors import InputError, Problem

if TYPE_CHECKING:
    from mmesim.calibrate.loadtest.fit import Fitted
    from mmesim.calibrate.loadtest.predict import Comparison, Result, Settings
    from mmesim.workload.types import StageSpec

SHOWN = ("rps", "mean_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "failures")


def load_test(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with memory_steps.csv and load_test.csv.")],
    stages: Annotated[str | None, typer.Option(
        metavar="UNTIL:USERS:RATE,…", help="Locust's stages; default: those of the SageMaker MME benchmark.")] = None,
    wait: Annotated[str | None, typer.Option(
        metavar="LOW:HIGH", help="Locust's wait_time = between(LOW, HIGH), e.g. 50ms:500ms (the default).")] = None,
    instance_type: Annotated[str | None, typer.Option(help="Default: the one in memory_steps.csv.")] = None,
    processes: Annotated[int | None, typer.Option(
        min=1, max=1000, help="Serial processes that the users share (Locust's workers); default: fitted.")] = None,
    calibrate_polls: Annotated[int, typer.Option(help="Polls of the load test that the fit may see.")] = 4,
    calibrate_steps: Annotated[int, typer.Option(help="Memory steps that the fit may see.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first calibration.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Calibrations and simulations; their mean is shown.")] = 3,
    figure: Annotated[Path | None, typer.Option(help="Draw measured and predicted to FILE.png or .svg.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Calibrate on the first polls of a load test, simulate all of it, compare poll by poll.

    Examples:

      mmesim calibrate load-test measured/

      mmesim calibrate load-test measured/ --calibrate-polls 3 --figure load-test.svg

      mmesim calibrate load-test mine/ --stages 60:50:5,120:100:5 --wait 1s:2s --json > load-test.json
    """
    from mmesim.calibrate.loadtest.figure import check_figure, draw
    from mmesim.calibrate.loadtest.predict import load_test as predicted
    from mmesim.calibrate.loadtest.tables import read_measurements
    from mmesim.dataplane.compiled import warm_up
    if figure:
        check_figure(figure)
    settings = _settings(stages, wait, instance_type=instance_type, processes=processes, seed=seed, seeds=seeds,
                         calibrate_polls=calibrate_polls, calibrate_steps=calibrate_steps)
    measured = read_measurements(folder)
    warm_up(note)
    with _searches() as tick:
        results = predicted(measured, settings, tick)
    if figure:
        draw(results, figure)
    if as_json:
        print_json([_json(result) for result in results])
        return
    for result in results:
        _print(result)


def _settings(stages: str | None, wait: str | None, **given: Any) -> Settings:
    from mmesim.calibrate.loadtest.predict import Settings
    texts: dict[str, Any] = {}
    if stages is not None:
        texts["stages"] = tuple(_stage(text) for text in stages.split(","))
        ends_s = [stage.until_s for stage in texts["stages"]]
        if ends_s != sorted(set(ends_s)):
            raise InputError(Problem("--stages are not in time order", hint="each ends later than the one before"))
    if wait is not None:
        texts["wait_s"] = _wait(wait)
    return Settings(**texts, **given)


def _stage(text: str) -> StageSpec:
    from mmesim.workload.types import StageSpec
    try:
        until_s, users, rate = text.split(":")
        stage = StageSpec(float(until_s), int(users), float(rate))
    except ValueError:
        stage = StageSpec(0, 0, 0)
    if not (0 < stage.until_s < 1e6 and 0 <= stage.users <= 100_000 and 0 < stage.spawn_rate < 1e6):
        raise InputError(Problem(f"--stages: {text!r} is not a stage",
                                 hint="write UNTIL:USERS:RATE in s, users and users/s, e.g. 30:10:5,60:20:1"))
    return stage


def _wait(text: str) -> tuple[float, float]:
    from mmesim.units import parse_duration_s
    try:
        low_s, high_s = map(parse_duration_s, text.split(":"))
    except ValueError:
        low_s, high_s = 1.0, 0.0
    if not 0 <= low_s <= high_s <= 3600:
        raise InputError(Problem(f"--wait: {text!r} is not a range of durations", hint="write e.g. 50ms:500ms"))
    return low_s, high_s


@contextmanager
def _searches() -> Iterator[Callable[[int, int], None]]:
    """A bar with the time that is left, on a terminal only."""
    from rich.console import Console
    from rich.progress import Progress
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("searches", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _json(result: Result) -> dict[str, Any]:
    from dataclasses import asdict

    from mmesim.calibrate.loadtest.predict import as_rows, summary
    measured = result.measured
    fits = [{**asdict(fitted.hypothesis), **asdict(fitted.timing), "limit_rps": fitted.limit_rps, "cost": fitted.cost,
             "relative_error": fitted.relative_error,
             "tried": [{**asdict(each.hypothesis), "cost": each.cost, "limit_rps": each.limit_rps} for each in tried]}
            for fitted, tried in zip(result.fitted, result.tried, strict=True)]
    return {"model": measured.model, "engine": measured.engine, "instance_type": result.instance_type,
            "memory": {**asdict(result.memory), "measured_copies": measured.copies}, "fits": fits,
            "left_out_polls": list(result.warming_up), "polls": as_rows(result), "summary": summary(result)}


def _print(result: Result) -> None:
    what = f"{result.measured.name}, {result.measured.copies} copies on {result.instance_type}"
    print_table([_row(row) for row in result.polls], title=f"{what}: predicted | measured | error",
                caption=_caption(result))
    print()


def _row(row: Comparison) -> dict[str, Any]:
    shown = {"poll": f"{row.poll.number}{' *' if row.used else ''}", "time s": round(row.poll.time_s),
             "users": row.users}
    for figure in SHOWN:
        error = row.error(figure)
        change = "" if error is None else f" {error:+.0%}"
        shown[figure.replace("_", " ")] = f"{row.predicted[figure]:.0f}|{row.measured[figure]:.0f}{change}"
    return shown


def _caption(result: Result) -> str:
    from mmesim.calibrate.loadtest.predict import summary
    from mmesim.units import format_bytes
    memory, errors = result.memory, summary(result)
    worst = ", ".join(f"{figure.removesuffix('_ms')} {errors[figure]['worst']:+.1%} ({errors[figure]['median']:.1%})"
                      for figure in SHOWN if figure in errors)
    left_out = f"; polls {', '.join(map(str, result.warming_up))} left out: slower than later, busier ones" \
        if result.warming_up else ""
    return "\n".join((
        f"* used for the calibration{left_out}",
        f"copies that fit: predicted {memory.copies} | measured {result.measured.copies} "
        f"(first {format_bytes(memory.first_bytes)}, each further {format_bytes(memory.copy_bytes)})",
        *map(_fit, result.fitted),
        f"worst (median) error at the polls not used: {worst}"))


def _fit(fitted: Fitted) -> str:
    from mmesim.units import format_duration
    timing = fitted.timing
    known = {name: f"{format_duration(getattr(timing, name))} ± {fitted.relative_error[name]:.0%}"
             for name in ("client_s", "device_s", "overhead_s")}
    return (f"fitted: {fitted.hypothesis.processes} serial processes, {known['client_s']} a request "
            f"(cv {timing.client_cv:.2f}); device {known['device_s']}; overhead {known['overhead_s']}; "
            f"limit {fitted.limit_rps:.0f} requests/s")
