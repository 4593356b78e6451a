"""`mmesim profile validate`: fits judged on the operating points they have not seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmesim.cli.output import note, print_json, print_table
from mmesim.cli.progress import steps
from mmesim.errors import InputError, Problem

if TYPE_CHECKING:
    from mmesim.calibrate.serving.validate import Judged, Row


def profile_validate(
    measurements: Annotated[Path, typer.Option(
        metavar="FILE.csv", help="Operating points, as `mmesim profile import -o` writes them.")],
    fit_fraction: Annotated[float | None, typer.Option(
        min=0.01, max=0.99, help="Judge groups without offline points too: this part of their loads, the lowest, is "
        "fitted.")] = None,
    group: Annotated[list[str] | None, typer.Option(
        metavar="TEXT", help="Only groups with this in model/backend/precision/gpu/input; may be repeated.")] = None,
    grade: Annotated[str, typer.Option(help="Judge only rows of these grades, e.g. A or AB; default: all.")] = "",
    processes: Annotated[int, typer.Option(min=-1, help="Processes side by side; -1: one for each core.")] = -1,
    rows: Annotated[bool, typer.Option("--rows", help="Print every row.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: every row, group and summary.")] = False,
) -> None:
    """Fit each group to its offline points and its two lowest online ones; predict the others; report the errors.

    Rows of scenario `offline` have one request in flight; rows of scenario `online` are a closed loop under dynamic
    batching. The regimes stand for concurrencies below, at and past the knee of each group.

    Examples:

      mmesim profile validate --measurements points.csv

      mmesim profile validate --measurements points.csv --group resnet50 --rows

      mmesim profile validate --measurements sweep.csv --fit-fraction 0.3 --json > validation.json
    """
    from mmesim.calibrate.serving.groups import groups
    from mmesim.calibrate.serving.validate import judge
    from mmesim.dataplane.compiled import warm_up
    from mmesim.parallel import side_by_side
    from mmesim.profile.readers import read_points
    found = groups(read_points([measurements]).points, fit_fraction=fit_fraction)
    if group:
        found = [one for one in found if any(text in one.name for text in group)]
    if not found:
        raise InputError(Problem("no group of points can be judged", file=str(measurements),
                                 hint="a group needs offline rows and more than two online rows (closed loop, with "
                                      "throughput and mean latency); without offline rows: --fit-fraction 0.3"))
    warm_up(note)
    with steps("groups", len(found)) as done:
        judged = side_by_side(judge, found, processes=processes, done=done)
    kept = [row for one in judged for row in one.rows if not grade or row.point.grade in grade]
    if as_json:
        print_json(_json(judged, kept))
        return
    if rows:
        print_table([_shown(row) for row in kept])
    _print_groups(judged, kept)
    _print_overall(kept)


def _json(judged: list[Judged], kept: list[Row]) -> dict[str, Any]:
    from dataclasses import asdict

    from mmesim.calibrate.serving.validate import by_regime, summary
    return {
        "overall": summary(kept), "sound": summary(row for row in kept if row.point.is_sound),
        "by_regime": by_regime(kept),
        "groups": [{"group": one.group.name, "given": [point.at for point in one.group.seen],
                    "timing": asdict(one.fit.timing),
                    "estimates": {name: asdict(value) for name, value in one.fit.estimates.items()},
                    "padded": one.fit.curve.padded, "cost": one.fit.cost,
                    **summary(row for row in kept if row.group == one.group.name)} for one in judged],
        "rows": [row.to_dict() for row in kept]}


def _print_groups(judged: list[Judged], kept: list[Row]) -> None:
    from mmesim.calibrate.serving.validate import summary
    table = []
    for one in judged:
        found = summary(row for row in kept if row.group == one.group.name)
        table.append({"group": one.group.name, "rows": found["rows"], **_errors(found)})
    print_table(table, caption="median | 90th percentile of the absolute errors, in %; fitted on the offline rows and "
                               "the lowest online ones, judged on the others")


def _print_overall(kept: list[Row]) -> None:
    from mmesim.calibrate.serving.validate import by_regime, summary
    table = [{"judged rows": "all", "rows": len(kept), **_errors(summary(kept))}]
    sound = [row for row in kept if row.point.is_sound]
    if len(sound) < len(kept):
        table.append({"judged rows": "that pass Little's law", "rows": len(sound), **_errors(summary(sound))})
    table += [{"judged rows": f"{name} the knee", "rows": found["rows"], **_errors(found)}
              for name, found in by_regime(kept).items()]
    print_table(table)


def _errors(found: dict[str, Any]) -> dict[str, str]:
    return {f"{name} error": f"{100 * of['median']:.1f} | {100 * of['p90']:.1f}" if (of := found[name]) else "–"
            for name in ("throughput", "latency", "p95")}


def _shown(row: Row) -> dict[str, Any]:
    point = row.point

    def beside(predicted: float, measured: float | None, scale: float) -> str:
        return "–" if measured is None else f"{predicted * scale:,.2f} | {measured * scale:,.2f}"

    return {"group": row.group, "load": point.concurrency, "regime": row.regime,
            "inferences/s (predicted | measured)": beside(row.throughput_per_s, point.throughput_per_s, 1.0),
            "mean ms": beside(row.latency_s, point.latency_s, 1e3), "p95 ms": beside(row.p95_s, point.p95_s, 1e3)}
