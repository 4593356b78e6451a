"""The command line: `mmesim run`, and what goes with it. Heavy libraries are imported by the command that needs them."""

from mmesim.cli.app import main

__all__ = ["main"]
