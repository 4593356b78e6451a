"""`mmesim profile scale`: a profile for a GPU on which its model was not measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmesim.cli.output import note, print_json, print_table
from mmesim.errors import InputError, Problem, alternatives

if TYPE_CHECKING:
    from mmesim.calibrate.serving.scaling import Curve


def profile_scale(
    profile: Annotated[str, typer.Argument(help="A shipped profile, or a profile file.", show_default=False)] = "",
    to: Annotated[str, typer.Option(metavar="GPU", help="The GPU to scale to, as in `mmesim profile list`.")] = "",
    output: Annotated[Path | None, typer.Option(
        "-o", "--output", metavar="FILE.yaml", help="Write the profile here; default NAME-GPU-from-GPU.yaml.",
        show_default=False)] = None,
    table: Annotated[bool, typer.Option("--table", help="Print how well the rule does, GPU by GPU.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Scale a profile to a GPU its model was not measured on, by models that were measured on both.

    The profile says in each number that it follows from a rule, and which error the rule had on models left out.

    Examples:

      mmesim profile scale bert-large-pytorch-t4 --to L4

      mmesim profile scale --table
    """
    from mmesim.calibrate.serving.scaling import curves_of_profiles
    from mmesim.profile import load_profile, profile_names
    curves = curves_of_profiles(map(load_profile, profile_names()))
    if table:
        _print_rules(curves, as_json)
        return
    if not profile or not to:
        raise InputError(Problem("give a profile and --to GPU, or --table",
                                 hint="mmesim profile scale bert-large-pytorch-t4 --to L4"))
    _scale(profile, to, output, curves, as_json)


def _print_rules(curves: list[Curve], as_json: bool) -> None:
    from mmesim.calibrate.serving.scaling import scaling_table
    rows = scaling_table(curves)
    if as_json:
        print_json(rows)
        return
    print_table([{"from": row["from"], "to": row["to"], "backend": row["backend"], "precision": row["precision"],
                  "ratio, short to long batches": f"{row['ratio_short']:.2f} to {row['ratio_long']:.2f}",
                  "models": row["models"], "points": row["points"], "median error": f"{row['median_error']:.0%}",
                  "90 % below": f"{row['p90_error']:.0%}"} for row in rows],
                caption="times on the one over times on the other; errors of the times of models that were left out")


def _scale(name: str, to: str, output: Path | None, curves: list[Curve], as_json: bool) -> None:
    from mmesim.calibrate.serving.scaled import scaled_name, scaled_text
    from mmesim.calibrate.serving.scaling import scaling
    from mmesim.profile import load_profile
    loaded = load_profile(name)
    gpus = sorted({curve.gpu for curve in curves} - {loaded.gpu})
    if to not in gpus:
        raise InputError(Problem(f"cannot scale from {loaded.gpu} to {to!r}", hint=alternatives(to, gpus)))
    if loaded.file.latency is None:
        raise InputError(Problem(f"the profile {loaded.name} has no latency to scale"))
    rule = scaling(curves, loaded.gpu, to, loaded.file.backend, loaded.file.precision)
    if rule is None:
        raise InputError(Problem(f"no shipped model was measured on both {loaded.gpu} and {to}",
                                 hint="mmesim profile scale --table shows which GPUs are joined by measurements"))
    path = output or Path(f"{scaled_name(loaded, to)}.yaml")
    path.write_text(scaled_text(loaded, rule, path.stem), encoding="utf-8")
    if as_json:
        print_json({"profile": str(path), "rule": rule.described(), "median_error": rule.median_error,
                    "p90_error": rule.p90_error, "models": list(rule.models), "scope": rule.scope})
    else:
        print(rule.described().removeprefix("rule: "))
    note(f"wrote {path}; next: mmesim profile show {path}")
