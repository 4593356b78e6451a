"""A plan on disk: ``plan.json``, beside the stored cells (``.cells``), the report and the files to deploy.

Files are replaced one by one, plan.json last; a folder with other things in it is never touched. The end of an interval
that is infinite (one seed has none) is null.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmesim.errors import InputError, Problem
from mmesim.results import folders
from mmesim.results.folders import interval, intervals
from mmesim.results.plan import Alternative, Commitment, Headroom, Limit, Option, Plan, Swing, TargetFound
from mmesim.results.run import to_json

MARKER = "plan.json"
"""The file that makes a folder a plan."""
DEPLOY = "deploy"
"""Folder of the files to deploy it."""
PROFILES = "profiles"
"""Folder of profiles that were scaled for it."""
_OPTIONS = ("chosen", "nearest", "runner_up")
_ROWS: Mapping[str, type[Any]] = {"limits": Limit, "headroom": Headroom, "swings": Swing, "alternatives": Alternative,
                                  "commitments": Commitment}
"""Field of a plan -> what it is a sequence of: values without intervals."""


def check_folder(folder: Path) -> None:
    """Raises InputError when `folder` holds something that is no plan."""
    folders.check_folder(folder, MARKER, "plan", (PROFILES,))


def in_place(folder: Path) -> AbstractContextManager[Path]:
    """A folder to write files into, which are then moved to `folder` one by one; nothing is moved after an error."""
    return folders.in_place(folder, MARKER)


def save(plan: Plan, folder: Path) -> None:
    """Write the plan to an existing folder."""
    (folder / MARKER).write_text(to_json(as_json(plan)), encoding="utf-8")


def as_json(plan: Plan) -> dict[str, Any]:
    """The whole plan as plain data."""
    plain: dict[str, Any] = folders.finite(asdict(plan))
    return plain


def load(folder: Path) -> Plan:
    """Read a saved plan. Raises InputError when `folder` is none."""
    if not (folder / MARKER).is_file():
        raise InputError(Problem(f"{folder} is not a plan of mmesim: it has no {MARKER}",
                                 hint="give a folder that `mmesim plan` wrote"))
    try:
        return from_json(json.loads((folder / MARKER).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(Problem(f"{folder / MARKER} cannot be read: {error}", hint="plan again")) from error


def from_json(data: Mapping[str, Any]) -> Plan:
    """The plan of `as_json`. Raises KeyError, TypeError: data of another kind."""
    rows = {name: [kind(**row) for row in data[name]] for name, kind in _ROWS.items()}
    single = {name: data[name] and _option(data[name]) for name in _OPTIONS}
    return Plan(**{**data, **rows, **single, "options": [_option(each) for each in data["options"]],
                   "survival": [_target(each) for each in data["survival"]]})


def _option(data: Mapping[str, Any]) -> Option:
    return Option(**{**data, "cost_per_month": data["cost_per_month"] and interval(data["cost_per_month"]),
                     "targets": [_target(each) for each in data["targets"]], "values": intervals(data["values"])})


def _target(data: Mapping[str, Any]) -> TargetFound:
    return TargetFound(**{**data, "value": data["value"] and interval(data["value"])})
