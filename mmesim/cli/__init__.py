"""The command line: `mmesim run` and what goes with it. Each command imports the heavy libraries it needs, itself."""

from mmesim.cli.app import main

__all__ = ["main"]
