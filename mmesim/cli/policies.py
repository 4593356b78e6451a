"""`mmesim policies` and `mmesim check-policy`: what can be chosen, and whether your own policy behaves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmesim.cli.output import print_json, print_table
from mmesim.errors import InputError, Problem

if TYPE_CHECKING:
    from mmesim.core.policy import Policy


def policies(
    kind: Annotated[str | None, typer.Argument(
        help="routing, placement, eviction, prewarm, admission or autoscaling; default: all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the built-in policies and their parameters.

    Example:  mmesim policies eviction
    """
    from mmesim.errors import alternatives
    from mmesim.policies.registry import KINDS, describe
    if kind is not None and kind not in KINDS:
        raise InputError(Problem(f"unknown kind of policy {kind!r}", hint=alternatives(kind, KINDS)))
    rows = [{"kind": k, "policy": known.name, "parameters": "\n".join(
        f"{parameter.name}: {parameter.default_text}" for parameter in known.parameters), "what it does": known.summary}
        for k in ([kind] if kind else KINDS) for known in describe(k)]
    print_json(rows) if as_json else print_table(rows)


def check_policy(
    policy: Annotated[str, typer.Argument(help="my_policies.py:Class, module:Class, or kind/name of a built-in.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run the conformance kit on a policy; exit 1 when it fails a check.

    Examples:

      mmesim check-policy my_policies.py:BiggestFirst

      mmesim check-policy eviction/lru
    """
    from mmesim.testing.conformance import check_policy as check
    outcome = check(_class(policy))
    rows = [{"check": name, "outcome": status, "what was seen": seen} for name, status, seen in outcome.rows()]
    print_json(rows) if as_json else print_table(rows, title=f"{outcome.policy} ({outcome.kind or 'no policy'})")
    if not outcome.ok:
        raise typer.Exit(1)


def _class(name: str) -> type[Policy]:
    """The class that "file.py:Class", "module:Class" or "kind/name" names. Raises InputError."""
    from mmesim.errors import alternatives
    from mmesim.policies.errors import PolicyError
    from mmesim.policies.loading import load_class
    from mmesim.policies.registry import KINDS, find
    kind, slash, short = name.partition("/")
    try:
        if ":" in name:
            return load_class(name, Path.cwd())
        if slash and kind in KINDS:
            return find(kind, short, Path.cwd())
    except PolicyError as error:
        raise InputError(Problem(error.message, hint=error.hint)) from error
    hint = f"write file.py:Class, or kind/name of a built-in; kinds: {alternatives(kind, KINDS)}"
    raise InputError(Problem(f"{name!r} names no policy", hint=hint))
