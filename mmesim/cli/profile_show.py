"""`mmesim profile list` and `show`: which profiles there are, and what is known of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmesim.cli.output import note, print_json, print_table
from mmesim.errors import InputError, Problem, alternatives

if TYPE_CHECKING:
    from mmesim.profile import ModelProfile

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def profile_list(
    gpu: Annotated[str, typer.Option(help="Only on this GPU: T4, A10G, cpu, ...")] = "",
    model: Annotated[str, typer.Option(metavar="TEXT", help="Only with this in the profile's or model's name.")] = "",
    backend: Annotated[str, typer.Option(help="Only on this backend: tensorrt, torchscript, onnxruntime, ...")] = "",
    as_json: Json = False,
) -> None:
    """List the shipped profiles: one row a model, backend and precision, or with a filter one row each.

    Examples:  mmesim profile list

      mmesim profile list --gpu T4

      mmesim profile list --model bert --backend tensorrt
    """
    from mmesim.profile import load_profile, profile_names
    found = [load_profile(name) for name in profile_names()]
    for wanted, names in ((gpu, {p.gpu for p in found}), (backend, {p.file.backend for p in found})):
        if wanted and wanted not in names:
            raise InputError(Problem(f"no profile with {wanted!r}", hint=alternatives(wanted, sorted(names))))
    kept = [p for p in found if gpu in ("", p.gpu) and backend in ("", p.file.backend)
            and model.lower() in f"{p.name} {p.file.model}".lower()]
    if not kept:
        raise InputError(Problem("no profile is like that", hint="mmesim profile list shows all"))
    if as_json:
        print_json([_row(p) for p in kept])
    elif gpu or model or backend:
        shown = ("profile", "model", "gpu", "batch 1 ms", "max batch", "timing", "memory")
        print_table([{name: _row(p)[name] for name in shown} for p in kept],
                    caption="mmesim profile show NAME prints each number, how it is known and from where")
    else:
        print_table(_families(kept), caption=f"{len(kept)} profiles, called PROFILE-gpu: bert-large-tensorrt-t4; "
                    "--gpu, --model and --backend list them one by one")


def _row(p: ModelProfile) -> dict[str, Any]:
    from mmesim.units import format_bytes
    memory, artifact = p.gpu_bytes or p.host_bytes if p.gpu_bytes is not None else None, p.artifact_bytes
    return {"profile": p.name, "model": p.file.model, "backend": p.file.backend, "precision": p.file.precision,
            "gpu": p.gpu, "batch 1 ms": round(p.service_s(1) * 1e3, 2), "max batch": p.max_batch_size,
            "timing": p.file.latency.basis if p.file.latency else None,
            "memory": None if memory is None else format_bytes(memory),
            "artifact": None if artifact is None else format_bytes(artifact)}


def _families(found: Sequence[ModelProfile]) -> list[dict[str, Any]]:
    """Profiles that differ in the GPU only, as one row."""
    rows: dict[str, dict[str, Any]] = {}
    for p in found:
        family = p.name.removesuffix(f"-{p.gpu.lower()}")
        row = rows.setdefault(family, {"profile": family, "model": p.file.model, "precision": p.file.precision,
                                       "gpu": ""})
        row["gpu"] = f"{row['gpu']} {p.gpu}".strip()
    return list(rows.values())


def profile_show(
    profile: Annotated[str, typer.Argument(help="A shipped profile, or a profile file.")],
    figure: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Draw time and throughput over the batch size: .png, .svg or .pdf.")] = None,
    as_json: Json = False,
) -> None:
    """Print a profile: each number, how it is known and from where; its times, and what is extrapolated.

    Examples:  mmesim profile show resnet50-pytorch-t4

      mmesim profile show bert-large-tensorrt-t4 --figure bert.png
    """
    from mmesim.profile import describe, load_profile
    from mmesim.profile.describe import service_rows
    loaded = load_profile(profile)
    if figure:
        from mmesim.report.profile_figure import draw_profile
        draw_profile(loaded, figure)
    rows, times = describe(loaded), service_rows(loaded)
    if as_json:
        print_json(rows + [_as_field(row) for row in times if row["known"].startswith("extrapolated")])
    else:
        _print(profile, rows)
        print_table(times)
    if figure:
        note(f"wrote {figure}")


def _print(title: str, rows: Sequence[dict[str, Any]]) -> None:
    footnotes = list(dict.fromkeys(filter(None, map(_footnote, rows))))
    print_table([{"field": row["field"], "value": f"{row['value']} {row['unit']}".rstrip(), "basis": row["basis"],
                  "": f"[{footnotes.index(_footnote(row)) + 1}]" if _footnote(row) else ""} for row in rows],
                title=title, caption="\n".join(f"\\[{n}] {text}" for n, text in enumerate(footnotes, 1)))


def _as_field(row: dict[str, Any]) -> dict[str, Any]:
    """An extrapolated time in the form of the other numbers."""
    basis, _, how = row["known"].partition(": ")
    return {"field": f"latency of batch {row['batch']}", "value": row["ms"], "unit": "ms", "basis": basis, "source": "",
            "note": how}


def _footnote(row: dict[str, Any]) -> str:
    """Source and note of a row."""
    return "; ".join(filter(None, (row["source"], row["note"])))
