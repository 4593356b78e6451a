"""`mmesim doctor`, `mmesim catalog`: what is here and what is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mmesim.cli.output import print_json, print_table
from mmesim.errors import InputError, Problem, alternatives

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def catalog(
    instance_type: Annotated[str | None, typer.Argument(help="Show everything about this one.")] = None,
    as_json: Json = False,
) -> None:
    """List the instance types: hardware and price; with a name, each value and how it is known.

    Examples:

      mmesim catalog

      mmesim catalog ml.g4dn.2xlarge
    """
    from mmesim.catalog import load_catalog
    rows = load_catalog().rows()
    if instance_type is not None:
        rows = [row for row in rows if row["name"] == instance_type]
        if not rows:
            hint = alternatives(instance_type, load_catalog())
            raise InputError(Problem(f"unknown instance type {instance_type!r}", hint=hint))
    if as_json:
        print_json(rows)
    elif instance_type is not None:
        _print_type(rows[0])
    else:
        _print_types(rows)


def _print_types(rows: Sequence[dict[str, Any]]) -> None:
    from mmesim.units import format_bytes

    def size(size_bytes: int | None) -> str | None:
        return None if size_bytes is None else format_bytes(size_bytes)

    print_table([{"type": row["name"], "vCPU": row["vcpus"], "memory": size(row["ram_bytes"]),
                  "GPU": f"{row['gpu_count']} {row['gpu']}" if row["gpu"] else "",
                  "GPU memory": size(row["gpu_bytes"]) if row["gpu"] else "", "disk": row["disk_kind"],
                  "$/h": row["price_per_hour"], "GPU MME": "yes" if row["mme_gpu_listed"] else ""} for row in rows],
                caption="GPU MME: the Developer Guide lists the type for multi-model endpoints with a GPU.\n"
                        "GPU memory: what one GPU shows inside an endpoint. Hardware, price and sources of one type: "
                        "mmesim catalog TYPE")


def _print_type(row: dict[str, Any]) -> None:
    from mmesim.units import format_bytes
    marks = row["marks"]
    values = {name: value for name, value in row.items() if name not in ("name", "note", "source", "date", "marks")}

    def written(name: str, value: Any) -> Any:
        if value is None or isinstance(value, bool) or not isinstance(value, int | float):
            return value
        return format_bytes(value) if name.endswith("_bytes") else f"{value / 1e6:,.0f} MB/s" \
            if name.endswith("_bps") else f"${value:g}" if name.endswith("per_hour") else value

    print_table([{"field": name, "value": written(name, value), "how it is known": marks.get(name, "")}
                 for name, value in values.items()], title=row["name"],
                caption="\n".join(filter(None, (row["note"], f"source: {row['source']}, {row['date']}"))))


def doctor(as_json: Json = False) -> None:
    """Check this machine: Python, libraries, compiled kernel, where results go; exit 1 when something is wrong.

    Example:  mmesim doctor
    """
    rows = [row for check in (_python, _libraries, _kernel, _folder, _triton) for row in check()]
    print_json(rows) if as_json else print_table(rows)
    if any(row["state"] == "wrong" for row in rows):
        raise typer.Exit(1)


def _row(what: str, state: str, detail: str) -> dict[str, Any]:
    return {"check": what, "state": state, "detail": detail}


def _python() -> list[dict[str, Any]]:
    import os
    import platform
    import sys
    version = platform.python_version()
    ok = sys.version_info >= (3, 11)
    return [_row("Python", "ok" if ok else "wrong", version if ok else f"{version}: 3.11 or newer is needed"),
            _row("machine", "ok", f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs")]


def _libraries() -> list[dict[str, Any]]:
    import re
    from importlib.metadata import PackageNotFoundError, requires, version
    try:
        needed = [line for line in requires("mmesim") or () if "extra ==" not in line]
    except PackageNotFoundError:
        return [_row("libraries", "unknown", "mmesim runs from its source folder, it is not installed: pip install .")]
    rows = []
    for line in needed:
        name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
        try:
            rows.append(_row(name, "ok", version(name)))
        except PackageNotFoundError:
            rows.append(_row(name, "wrong", f"not installed: pip install '{line}'"))
    return rows


def _kernel() -> list[dict[str, Any]]:
    from mmesim.dataplane.compiled import cache_dir, is_compiled
    if is_compiled():
        return [_row("kernel", "ok", f"compiled, in {cache_dir()}")]
    return [_row("kernel", "ok", f"not compiled yet: the first run does it once, into {cache_dir()}")]


def _folder() -> list[dict[str, Any]]:
    import os
    here = Path.cwd()
    writable = os.access(here, os.W_OK)
    return [_row("results", "ok" if writable else "wrong", f"{here}/reports" if writable else f"{here} is read-only: "
                 "run elsewhere, or with --out")]


def _triton() -> list[dict[str, Any]]:
    """The tools of `mmesim profile analyze`; nothing else needs them."""
    from mmesim.triton.tools import INSTALL, find_model_analyzer, find_perf_analyzer, find_server
    rows = []
    for name, find in (("tritonserver", find_server), ("perf_analyzer", find_perf_analyzer),
                       ("model-analyzer", find_model_analyzer)):
        try:
            rows.append(_row(name, "ok", str(find())))
        except InputError as error:
            what = error.problems[0].message
            rows.append(_row(name, "ok", f"{what}; only mmesim profile analyze needs it: {INSTALL}"))
    return rows
