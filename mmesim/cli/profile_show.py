"""`mmesim profile list` and `show`: which profiles there are, and what is known of one."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mmesim.cli.output import print_json, print_table

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def profile_list(as_json: Json = False) -> None:
    """List the shipped profiles.

    Example:  mmesim profile list
    """
    from mmesim.profile import load_profile, profile_names
    from mmesim.units import format_bytes
    rows = [{"profile": name, "model": p.file.model, "backend": p.file.backend, "precision": p.file.precision,
             "gpu": p.gpu, "batch 1 ms": round(p.service_s(1) * 1e3, 2), "max batch": p.max_batch_size,
             "memory": format_bytes(p.gpu_bytes or p.host_bytes), "artifact": format_bytes(p.artifact_bytes)}
            for name in profile_names() for p in [load_profile(name)]]
    if as_json:
        print_json(rows)
    else:
        shown = ("profile", "model", "gpu", "batch 1 ms", "memory")
        print_table([{name: row[name] for name in shown} for row in rows],
                    caption="mmesim profile show NAME prints each number, how it is known and from where")


def profile_show(
    profile: Annotated[str, typer.Argument(help="A shipped profile, or a profile file.")], as_json: Json = False,
) -> None:
    """Print a profile: each number, how it is known and from where.

    Example:  mmesim profile show resnet50-pytorch-t4
    """
    from mmesim.profile import describe, load_profile
    rows = describe(load_profile(profile))
    if as_json:
        print_json(rows)
        return
    footnotes = list(dict.fromkeys(filter(None, map(_footnote, rows))))
    print_table([{"field": row["field"], "value": f"{row['value']} {row['unit']}".rstrip(), "basis": row["basis"],
                  "": f"[{footnotes.index(_footnote(row)) + 1}]" if _footnote(row) else ""} for row in rows],
                title=profile, caption="\n".join(f"\\[{n}] {text}" for n, text in enumerate(footnotes, 1)))


def _footnote(row: dict[str, Any]) -> str:
    """Source and note of a row."""
    return "; ".join(filter(None, (row["source"], row["note"])))
