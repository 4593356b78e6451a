"""`mmesim profile import`: what Model Analyzer and Perf Analyzer wrote, as one table of operating points."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmesim.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from mmesim.profile.points import OperatingPoint

MS, MB = 1e3, 1e-6


def profile_import(
    paths: Annotated[list[Path], typer.Argument(
        metavar="PATH...", help="Files or folders: Model Analyzer's output folder, checkpoint or CSV; perf_analyzer's "
        "CSV (-f) or its console text; a report's table in markdown. Names do not matter.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the table of points here.")] = None,
    model: Annotated[str, typer.Option(help="The model, where the file does not name it (perf_analyzer's CSV).")] = "",
    backend: Annotated[str, typer.Option(help="torchscript, onnxruntime, tensorrt, ...")] = "",
    precision: Annotated[str, typer.Option(help="fp32, fp16, int8")] = "",
    gpu: Annotated[str, typer.Option(help="The GPU as in `mmesim catalog`: T4, A10G, ...; or cpu.")] = "",
    item: Annotated[str, typer.Option("--input", help="One item of a request: seqlen=128")] = "",
    batch_size: Annotated[int | None, typer.Option(min=1, help="Items in one request (perf_analyzer -b).")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Requests in flight, where the file lacks it.")] = None,
    instance_count: Annotated[int | None, typer.Option(min=1, help="Triton instances of the model.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: points in seconds and bytes, remarks.")] = False,
) -> None:
    """Read measurements of Triton: Model Analyzer's and Perf Analyzer's files.

    What you give fills what the files do not tell; a contradiction is an error. Rows that fail Little's law are marked.

    Examples:  mmesim profile import results/ -o points.csv

      mmesim profile import perf.csv --model resnet50 --gpu T4 --batch-size 8 -o points.csv
    """
    from mmesim.profile.readers import Given, read_points, write_measurements
    given = Given(model=model, backend=backend, precision=precision, gpu=gpu, input=item, batch_size=batch_size,
                  concurrency=concurrency, instance_count=instance_count)
    imported = read_points(paths, given=given)
    if as_json:
        print_json({"points": [{**asdict(point), "littles_law": point.littles_law, "is_sound": point.is_sound}
                               for point in imported.points], "remarks": imported.remarks})
    else:
        print_table(_rows(imported.points), caption=f"{len(imported.points)} operating points")
        for remark in imported.remarks:
            note(f"note: {remark}")
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(write_measurements(imported.points), encoding="utf-8")
    note(f"wrote {output}; next: mmesim profile fit {output}" if output else
         "next: write the table with -o points.csv, then  mmesim profile fit points.csv")


def _rows(points: list[OperatingPoint]) -> list[dict[str, Any]]:
    """The table: columns that no point fills are left out."""
    rows = [_row(point) for point in sorted(points, key=_order)]
    filled = {name for row in rows for name, value in row.items() if value not in ("", None)}
    return [{name: value for name, value in row.items() if name in filled} for row in rows]


def _order(point: OperatingPoint) -> tuple[Any, ...]:
    return (point.model, point.gpu, point.instance_count or 0, point.variant, point.batch_size, point.concurrency or 0,
            point.request_rate_rps or 0.0)


def _row(point: OperatingPoint) -> dict[str, Any]:
    load = f"{point.request_rate_rps:g}/s" if point.request_rate_rps is not None else point.concurrency
    return {"model": point.model, "variant": point.variant, "gpu": point.gpu, "instances": point.instance_count,
            "batch": point.batch_size, "load": load, "inf/s": _rounded(point.throughput_per_s, 1),
            "mean ms": _rounded(point.latency_s, MS), "p95 ms": _rounded(point.p95_s, MS),
            "p99 ms": _rounded(point.p99_s, MS), "queue ms": _rounded(point.queue_s, MS),
            "compute ms": _rounded(point.compute_s, MS), "GPU MB": _rounded(point.gpu_bytes, MB),
            "Little": "" if point.is_sound else f"x{point.littles_law:.2f}"}


def _rounded(value: float | None, scale: float) -> float | None:
    return None if value is None else float(f"{value * scale:.5g}")
