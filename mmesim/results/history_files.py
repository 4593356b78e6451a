"""An answer of `mmesim what-if` on disk: ``what-if.json``, beside it the report and the stored runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmesim.errors import InputError, Problem
from mmesim.results import folders
from mmesim.results.comparison import Metric
from mmesim.results.folders import interval
from mmesim.results.history import Agreement, Change, Course, Effect, WhatIf
from mmesim.results.run import to_json

MARKER = "what-if.json"
"""The file that makes a folder an answer."""


def check_folder(folder: Path) -> None:
    """Raises InputError when `folder` holds something that is no answer."""
    folders.check_folder(folder, MARKER, "what-if")


def in_place(folder: Path) -> AbstractContextManager[Path]:
    """A folder to write files into, which are then moved to `folder` one by one; nothing is moved after an error."""
    return folders.in_place(folder, MARKER)


def save(answer: WhatIf, folder: Path) -> None:
    """Write the answer's document to an existing folder."""
    (folder / MARKER).write_text(to_json(as_json(answer)), encoding="utf-8")


def as_json(answer: WhatIf) -> dict[str, Any]:
    """As plain data; what is infinite (an interval of one seed) is null."""
    agreements = [{**asdict(each), "difference": each.difference, "holds": each.holds} for each in answer.agreements]
    plain: dict[str, Any] = folders.finite({**asdict(answer), "agreements": agreements})
    return plain


def load(folder: Path) -> WhatIf:
    """Read a saved answer. Raises InputError when `folder` is none."""
    if not (folder / MARKER).is_file():
        raise InputError(Problem(f"{folder} is not an answer of mmesim what-if: it has no {MARKER}",
                                 hint="give a folder that `mmesim what-if` wrote"))
    try:
        return from_json(json.loads((folder / MARKER).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(Problem(f"{folder / MARKER} cannot be read: {error}", hint="ask again")) from error


def from_json(data: Mapping[str, Any]) -> WhatIf:
    """The answer of `as_json`. Raises KeyError, TypeError: data of another kind."""
    changes = [Change(**{**one, "effects": [_effect(each) for each in one["effects"]]}) for one in data["changes"]]
    return WhatIf(**{**data, "agreements": [_agreement(each) for each in data["agreements"]],
                     "courses": [Course(**{**each, "metric": Metric(**each["metric"])}) for each in data["courses"]],
                     "changes": changes})


def _agreement(data: Mapping[str, Any]) -> Agreement:
    return Agreement(Metric(**data["metric"]), data["recorded"], interval(data["simulated"]), data["trust"])


def _effect(data: Mapping[str, Any]) -> Effect:
    intervals = {name: data[name] and interval(data[name])
                 for name in ("simulated", "difference", "relative", "predicted")}
    return Effect(**{**data, "metric": Metric(**data["metric"]), **intervals})
