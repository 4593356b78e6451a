"""`mmesim doctor`, `mmesim catalog`, `mmesim profile`: what is here and what is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mmesim.cli.output import print_json, print_table

profile_app = typer.Typer(no_args_is_help=True, help="Model profiles: what is shipped and where its numbers are from.")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@profile_app.command("list")
def profile_list(as_json: Json = False) -> None:
    """List the shipped profiles."""
    from mmesim.profile import load_profile, profile_names
    from mmesim.units import format_bytes
    rows = [{"profile": name, "model": p.file.model, "backend": p.file.backend, "precision": p.file.precision,
             "gpu": p.gpu, "batch 1 ms": round(p.service_s(1) * 1e3, 2), "max batch": p.max_batch_size,
             "memory": format_bytes(p.gpu_bytes or p.host_bytes), "artifact": format_bytes(p.artifact_bytes)}
            for name in profile_names() for p in [load_profile(name)]]
    print_json(rows) if as_json else print_table(rows)


@profile_app.command("show")
def profile_show(
    profile: Annotated[str, typer.Argument(help="A shipped profile, or a profile file.")], as_json: Json = False,
) -> None:
    """Print a profile: each number, how it is known and from where.

    Example:  mmesim profile show resnet50-pytorch-t4
    """
    from mmesim.profile import describe, load_profile
    rows = describe(load_profile(profile))
    print_json(rows) if as_json else print_table(rows, title=profile)


def catalog(as_json: Json = False) -> None:
    """List the instance types: hardware, price, and how each value is known."""
    from mmesim.catalog import load_catalog
    rows = load_catalog().rows()
    print_json(rows) if as_json else print_table(rows)


def doctor(as_json: Json = False) -> None:
    """Check this machine: Python, libraries, compiled kernel, where results can be written."""
    rows = [row for check in (_python, _libraries, _kernel, _folder) for row in check()]
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
    from importlib.metadata import PackageNotFoundError, requires, version
    rows = []
    for line in requires("mmesim") or ():
        if "extra ==" in line:
            continue
        name = line.split(";")[0].split(">")[0].split("=")[0].strip()
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
