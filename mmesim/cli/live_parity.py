"""`mmesim live parity`: one scenario on real servers and in the simulator, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmesim.cli.ending import EXIT_NOT_MET
from mmesim.cli.live_serve import missing
from mmesim.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from mmesim.calibrate.parity.measured import Measured
    from mmesim.calibrate.parity.run import Parity, Try
    from mmesim.calibrate.parity.side_by_side import Figure


def parity(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or warm, thrash, burst or spill.")],
    set_: Annotated[list[str] | None, typer.Option(
        "--set", metavar="PATH=VALUE", help="Override a setting, e.g. endpoint.eviction.gpu=gdsf. Repeatable.")] = None,
    tries: Annotated[int, typer.Option(min=1, max=100, help="Live runs, each with a seed of its own.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for results: OUT/<name>/ gets both runs of each try.")] =
    Path("reports/parity"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes on the way.")] = False,
) -> None:
    """Run a scenario on real Triton servers and in the simulator, and compare.

    Its models are generated as python-backend models that load, take memory and sleep as their profiles say; they come
    from a real S3-compatible server, through `mmesim live serve`. A first live run measures this machine; each further
    one (with another seed) is predicted from the one before it. Every journal is replayed. Takes real time: (tries + 1)
    times the duration. Exit code 1 when an aim is missed in every try.

    Examples:

      mmesim live parity thrash --tries 3

      mmesim live parity my.yaml --set duration=2m --set endpoint.eviction.gpu=gdsf --json
    """
    try:
        from mmesim.calibrate.parity.run import parity as compared
    except ImportError as error:
        raise missing(error, "pip install 'mmesim[parity]' (Linux x86-64, Python 3.11 or 3.12)") from error
    from mmesim.scenario.load import load_scenario
    overrides, file = set_ or [], _file(scenario)
    folder = out / load_scenario(file, overrides).name
    found = compared(file, overrides, folder, tries, (lambda _: None) if quiet else note)
    if as_json:
        print_json(summary(found))
    else:
        _show(found)
        if not quiet:
            note(f"results in {folder}/: live-N, simulated-N (mmesim report FOLDER draws them)")
    if not any(one.met for one in found.tries):
        raise typer.Exit(EXIT_NOT_MET)


def _file(name: str) -> str:
    """The packaged scenario of parity of this name, when there is no such file."""
    from mmesim.packaged import packaged_dir
    packaged = packaged_dir("scenarios") / "parity" / f"{name}.yaml"
    return str(packaged) if packaged.is_file() and not Path(name).exists() else name


def summary(found: Parity) -> dict[str, Any]:
    """Everything as plain data."""
    return {"scenario": found.name,
            "tries": [{"seed": one.seed, "met": one.met, "measured": one.measured.to_json(),
                       "figures": [figure.to_json() for figure in one.figures],
                       "replay": {"equal": one.replayed.is_equal, **dict(one.replayed.counts)}} for one in found.tries]}


def _show(found: Parity) -> None:
    for one in found.tries:
        _show_measured(one.measured)
        print_table([_row(figure) for figure in one.figures], title=f"{found.name}, seed {one.seed}")
        note(_replayed(one))


def _show_measured(measured: Measured) -> None:
    loads = ", ".join(f"{1e3 * law.mean_s:.0f} ms (cv {law.cv:.2f}, n {law.count})" for law in measured.loads)
    print_table([{"measured": name, "value": value} for name, value in (
        ("download", f"{1e3 * measured.download.mean_s:.0f} ms (n {measured.download.count})"), ("load", loads),
        ("unload", f"{1e3 * measured.unload.mean_s:.0f} ms (n {measured.unload.count})"),
        ("overhead of a warm request", f"{1e3 * measured.overhead_s:.1f} ms"),
        ("first request after a load", f"{1e3 * measured.first_inference_s:.1f} ms more"))],
        title="this machine, in the run before")


def _row(figure: Figure) -> dict[str, Any]:
    difference = figure.difference
    percent = None if difference is None else difference if figure.kind == "points" else 100 * difference
    aim = "" if figure.aim is None else f"± {figure.aim:g} points" if figure.kind == "points" else f"± {figure.aim:.0%}"
    verdict = {None: "", True: "met", False: "missed"}[figure.met]
    unit = " points" if figure.kind == "points" else " %"
    return {"": figure.name, "unit": figure.unit, "live": _number(figure.live), "simulated": _number(figure.simulated),
            "difference": "" if percent is None else f"{percent:+.1f}{unit}", "aim": aim, "verdict": verdict}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _replayed(one: Try) -> str:
    counts = one.replayed.counts
    what = f"replay, {counts['requests']:,} requests, {counts['steps']:,} steps, {counts['evictions']:,} evictions"
    if one.replayed.is_equal:
        return f"{what}: every action the same"
    return f"{what}: NOT equal: {one.replayed.difference}"
