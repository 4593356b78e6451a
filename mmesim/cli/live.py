"""`mmesim live ...`: the same policies on real servers. Each command stands in a module of its own."""

from __future__ import annotations

from collections.abc import Callable

import typer

from mmesim.cli import live_load, live_parity, live_serve, live_shadow
from mmesim.cli.ending import ended

live = typer.Typer(no_args_is_help=True, help="Real Triton servers under the same policies: load tests and more.")
COMMANDS: dict[str, Callable[..., None]] = {"serve": live_serve.serve, "example": live_serve.example,
                                            "load": live_load.load, "parity": live_parity.parity,
                                            "shadow": live_shadow.shadow}
for _name, _command in COMMANDS.items():
    live.command(_name)(ended(_command))
