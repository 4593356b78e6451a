"""`mmesim init` and `mmesim schema`: scenario files to start from, and their schema for editors."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from mmesim.cli.output import note, print_json
from mmesim.errors import InputError, Problem


def init(
    folder: Annotated[Path, typer.Argument(help="Where to copy the examples to.")] = Path("scenarios"),
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
) -> None:
    """Copy the packaged example scenarios, to read and to change.

    Example:  mmesim init && mmesim run scenarios/quickstart.yaml
    """
    from mmesim.packaged import packaged_dir
    files = sorted(packaged_dir("scenarios").glob("*.yaml"))
    there = [folder / file.name for file in files if (folder / file.name).exists()]
    if there and not force:
        raise InputError(Problem(f"{there[0]} exists" + (f" (and {len(there) - 1} more)" if len(there) > 1 else ""),
                                 hint="name another folder, or replace them with --force"))
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, folder / file.name)
    note(f"{len(files)} scenarios in {folder}/; start with: mmesim run {folder / 'quickstart.yaml'}")


def schema() -> None:
    """Print the JSON Schema of scenario files, for completion and checks in an editor.

    Example:  mmesim schema > mmesim.schema.json
    """
    from mmesim.scenario.schema import json_schema
    print_json(json_schema())
