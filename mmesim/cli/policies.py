"""`mmesim policies` and `mmesim check-policy`: what can be chosen, and whether your own policy behaves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmesim.cli.output import print_json, print_table
from mmesim.errors import InputError, Problem


def policies(
    kind: Annotated[str | None, typer.Argument(help="routing, placement, eviction, prewarm, admission, "
                                                    "autoscaling; default: all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the built-in policies and their parameters.

    Example:  mmesim policies eviction
    """
    from mmesim.errors import alternatives
    from mmesim.policies.registry import KINDS, describe
    if kind is not None and kind not in KINDS:
        raise InputError(Problem(f"unknown kind of policy {kind!r}", hint=alternatives(kind, KINDS)))
    rows = [{"kind": k, **row} for k in ([kind] if kind else KINDS) for row in describe(k)]
    print_json(rows) if as_json else print_table(rows)


def check_policy(
    policy: Annotated[str, typer.Argument(help='"my_policies.py:Class", "module:Class", or kind/name of a built-in.')],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run the conformance kit on a policy; exit 1 when it fails a check.

    Examples:

      mmesim check-policy my_policies.py:BiggestFirst

      mmesim check-policy eviction/lru
    """
    from mmesim.policies.registry import find
    from mmesim.testing.conformance import check_policy as check
    outcome = check(find(policy, Path.cwd()))
    print_json(outcome.rows()) if as_json else print_table(outcome.rows())
    if not outcome.ok:
        raise typer.Exit(1)
