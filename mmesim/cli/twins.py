"""`mmesim twins`: presets that behave like a real system."""

from __future__ import annotations

from typing import Annotated

import typer

from mmesim.cli.output import print_json, print_table
from mmesim.errors import InputError, Problem


def twins(
    name: Annotated[str | None, typer.Argument(help="Show this one, with its sources; default: list.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the twins: presets that behave like a named real system, chosen by `endpoint: {like: NAME}`.

    Examples:

      mmesim twins modelmesh

      mmesim run quickstart --set endpoint.like=ray-multiplex

      mmesim compare quickstart --vary endpoint.like=sagemaker-mme,modelmesh,seldon-overcommit
    """
    from mmesim.errors import alternatives
    from mmesim.scenario.twins import load_twin, twin_names
    if name is not None and name not in twin_names():
        raise InputError(Problem(f"there is no twin {name!r}", hint=alternatives(name, twin_names())))
    found = [load_twin(one) for one in ([name] if name else twin_names())]
    if as_json:
        print_json([{"twin": twin.name, "summary": twin.summary, "endpoint": twin.endpoint} for twin in found])
    elif name:
        typer.echo(found[0].text, nl=False)
    else:
        print_table([{"twin": twin.name, "what it is": twin.summary} for twin in found])
