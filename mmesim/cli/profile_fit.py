"""`mmesim profile fit`: from operating points to profiles, with intervals and residuals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmesim.cli.output import note, print_json, print_table
from mmesim.cli.progress import steps
from mmesim.errors import InputError, Problem

if TYPE_CHECKING:
    from mmesim.calibrate.serving.fitting import ModelFit
    from mmesim.calibrate.serving.loop import Observed
    from mmesim.profile.points import OperatingPoint

WHOLE = 4
"""Up to so many groups are printed whole; of more, one row each."""


def profile_fit(
    paths: Annotated[list[Path], typer.Argument(
        metavar="PATH...", help="Operating points: all that `mmesim profile import` reads, and what it writes.")],
    output: Annotated[Path | None, typer.Option(
        "-o", "--output", help="Write the profiles: a folder, or NAME.yaml if there is one group.")] = None,
    group: Annotated[list[str] | None, typer.Option(
        metavar="TEXT", help="Only groups with this in model/backend/precision/gpu/input; may be repeated.")] = None,
    model: Annotated[str, typer.Option(help="The model, where the files do not name it.")] = "",
    backend: Annotated[str, typer.Option(help="The backend, where they do not name it.")] = "",
    precision: Annotated[str, typer.Option(help="fp32, fp16, int8, where they do not tell it.")] = "",
    gpu: Annotated[str, typer.Option(help="The GPU as in `mmesim catalog`, where they do not name it; or cpu.")] = "",
    given: Annotated[int, typer.Option(
        min=1, help="Loaded points that are fitted, the lowest first; the others show how well they are "
        "predicted.")] = 2,
    processes: Annotated[int, typer.Option(min=-1, help="Processes side by side; -1: one for each core.")] = -1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: numbers, intervals, points, remarks.")] = False,
) -> None:
    """Fit how a model is served to its operating points, and write it as a profile.

    Points with one request in flight give S(batch); points of a closed loop under load give host work, device share,
    interference, front end and network. What nobody measured is absent from the profile.

    Examples:

      mmesim profile fit points.csv

      mmesim profile fit points.csv --group resnet50 -o profiles/

      mmesim profile fit sweep/ --gpu A10G -o mine.yaml
    """
    from mmesim.calibrate.serving.fitting import fit_model, fittable
    from mmesim.dataplane.compiled import warm_up
    from mmesim.parallel import side_by_side
    from mmesim.profile.readers import Given, read_points
    known = Given(model=model, backend=backend, precision=precision, gpu=gpu)
    found, remarks = fittable(read_points(paths, given=known).points, given=given)
    found = [one for one in found if not group or any(text in one.name for text in group)]
    remarks = [text for text in remarks if not group or any(wanted in text for wanted in group)]
    _require(paths, found, remarks, output)
    if any(one.seen for one in found):
        warm_up(note)
    with steps("groups", len(found)) as done:
        fits = side_by_side(fit_model, found, processes=processes, done=done)
    if as_json:
        print_json({"groups": [_json(one) for one in fits], "remarks": remarks})
    else:
        _print(fits, remarks)
    _write(fits, output)


def _require(paths: list[Path], found: list[Any], remarks: list[str], output: Path | None) -> None:
    where = ", ".join(map(str, paths))
    if not found:
        raise InputError([Problem(text, file=where) for text in remarks] or [Problem(
            "no operating points of such a group", file=where, hint="mmesim profile import FILE shows what there is")])
    missing = [name for name in ("backend", "gpu") if not all(getattr(one, name) for one in found)]
    if missing:
        raise InputError(Problem(f"does not tell the {' and the '.join(missing)}", file=where,
                                 hint="give it: " + " ".join(f"--{name} ..." for name in missing)))
    if output and output.suffix in (".yaml", ".yml") and len(found) > 1:
        raise InputError(Problem(f"{len(found)} groups do not go into one profile", file=where,
                                 hint="give a folder to -o, or choose one with --group: "
                                      + ", ".join(one.name for one in found[:3])))


def _write(fits: list[ModelFit], output: Path | None) -> None:
    from mmesim.calibrate.serving.written import profile_name, profile_text
    if output is None:
        note("next: write the profiles with -o FOLDER")
        return
    single = output.suffix in (".yaml", ".yml")
    (output.parent if single else output).mkdir(parents=True, exist_ok=True)
    for one in fits:
        path = output if single else output / f"{profile_name(one.group)}.yaml"
        path.write_text(profile_text(one, path.stem), encoding="utf-8")
        note(f"wrote {path}; next: mmesim profile show {path}")


# Shown ---------------------------------------------------------------------------------------------------------------

def _print(fits: list[ModelFit], remarks: list[str]) -> None:
    if len(fits) > WHOLE:
        print_table([_summary(one) for one in fits], caption="--group TEXT prints groups whole, --json all of them")
    else:
        for one in fits:
            _print_whole(one)
    for remark in remarks:
        note(f"note: {remark}")


def _print_whole(one: ModelFit) -> None:
    from mmesim.calibrate.serving.written import unmeasured
    sizes = ", ".join(f"{b}: {s * 1e3:.4g}" for b, s in one.curve.points(one.curve.largest))
    print_table([{"number": "S(batch), ms", "value": sizes, "95 % interval": ""}, *_numbers(one)],
                title=one.group.name)
    if one.fit:
        print_table(_points(one), caption="measured | fitted; points that are not given were not seen by the fit")
    print_table([{"not measured": name, "what measures it": command} for name, command in unmeasured(one)])


def _numbers(one: ModelFit) -> list[dict[str, Any]]:
    """The timing, number by number."""
    from mmesim.calibrate.serving.written import interval_text
    from mmesim.units import format_duration
    if one.fit is None:
        return []
    rows = []
    for name, estimate in one.fit.estimates.items():
        value = format_duration(estimate.value) if name.endswith("_s") else f"{estimate.value:.3g}"
        rows.append({"number": name.removesuffix("_s"), "value": value, "95 % interval": interval_text(name, estimate)})
    for name in ("frontend_threads", "prefetched_batches"):
        rows.append({"number": name, "value": str(getattr(one.fit.timing, name)), "95 % interval": "tried"})
    return rows


def _points(one: ModelFit) -> list[dict[str, Any]]:
    """Each loaded point beside what the fit says of it."""
    return [{"load": point.concurrency, "given": point in one.group.seen,
             "inferences/s": _beside(point.throughput_per_s, seen.request_rps * point.batch_size, 1.0),
             "mean ms": _beside(point.latency_s, seen.latency_s, 1e3), "p95 ms": _beside(point.p95_s, seen.p95_s, 1e3),
             "queue ms": _beside(point.queue_s, seen.queue_s, 1e3),
             "compute ms": _beside(point.compute_s, seen.compute_s, 1e3)} for point, seen in _observed(one)]


def _observed(one: ModelFit) -> list[tuple[OperatingPoint, Observed]]:
    """Loaded points and what the fit says of them."""
    return [(point, one.fit.at(point.concurrency)) for point in one.group.loaded if one.fit and point.concurrency]


def _beside(measured: float | None, fitted: float, scale: float) -> str:
    if measured is None:
        return f"– | {fitted * scale:.4g}"
    error = f" ({fitted / measured - 1:+.0%})" if measured > 0 else ""
    return f"{measured * scale:.4g} | {fitted * scale:.4g}{error}"


def _summary(one: ModelFit) -> dict[str, Any]:
    """One row about a group; errors are those of the points that the fit has seen."""
    errors = [abs(each.fitted.latency_s / each.point.latency_s - 1) for each in one.fit.residuals
              if each.point.latency_s] if one.fit else []
    return {"group": one.group.name, "batch 1 ms": round(float(one.curve.seconds([1])[0]) * 1e3, 3),
            "batch sizes": len(one.group.alone), "loaded": len(one.group.loaded), "given": len(one.group.seen),
            "worst given latency": f"{max(errors):.1%}" if errors else "–"}


def _json(one: ModelFit) -> dict[str, Any]:
    from dataclasses import asdict

    from mmesim.calibrate.serving.written import unmeasured
    fit = one.fit
    return {"group": one.group.name, "service_s": dict(one.curve.points(one.curve.largest)),
            "padded": one.curve.padded, "timing": asdict(fit.timing) if fit else None,
            "estimates": {name: asdict(value) for name, value in fit.estimates.items()} if fit else {},
            "cost": fit.cost if fit else None,
            "points": [{"concurrency": point.concurrency, "batch_size": point.batch_size,
                        "given": point in one.group.seen, "source": point.source, "at": point.at,
                        "measured": {"throughput_per_s": point.throughput_per_s, "latency_s": point.latency_s,
                                     "p95_s": point.p95_s},
                        "fitted": {"throughput_per_s": seen.request_rps * point.batch_size,
                                   "latency_s": seen.latency_s, "p95_s": seen.p95_s}}
                       for point, seen in _observed(one)],
            "not_measured": dict(unmeasured(one))}
