"""Loads a scenario: the file, what `--set` changes in it, and three passes of checks.

Under what the file says lie the settings of the twin it names (:mod:`mmesim.scenario.twins`).

1. *shape*: names, types, units, ranges (:mod:`mmesim.scenario.schema`);
2. *references*: what is named exists (:mod:`mmesim.scenario.references`);
3. *sense*: what was written can work (:mod:`mmesim.scenario.sense`).

All problems are reported at once: where the shape is wrong, the references of the rest are still looked up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

from mmesim.errors import InputError, Problem, alternatives
from mmesim.packaged import packaged_dir
from mmesim.scenario import references, sense
from mmesim.scenario.overrides import apply_overrides, find
from mmesim.scenario.schema import Scenario
from mmesim.scenario.twins import with_twin
from mmesim.yamldoc import Document, in_file_order, load_document, validate


def load_scenario(name_or_path: str, overrides: Sequence[str] = ()) -> Scenario:
    """The scenario in a file, or the packaged one of that name, with ``path=value`` overrides.

    Raises InputError with everything that is wrong with it: file, line, setting, what was possible, what to do.
    """
    path = scenario_file(name_or_path)
    document = with_twin(apply_overrides(load_document(path), overrides))
    document.data.setdefault("name", re.sub(r"[^A-Za-z0-9._-]", "-", path.stem).lstrip("._-")[:100] or "scenario")
    scenario = _shaped(document, path)
    if problems := _problems(scenario):
        raise InputError(in_file_order(map(document.located, problems)))
    return scenario


def scenario_names() -> list[str]:
    """Names of the packaged scenarios, sorted."""
    return sorted(path.stem for path in packaged_dir("scenarios").glob("*.yaml"))


def scenario_file(name_or_path: str) -> Path:
    """The file of this name if there is one, else the packaged scenario. Raises InputError with the nearest names."""
    path = Path(name_or_path)
    if path.suffix or len(path.parts) != 1 or path.exists():
        return path
    if name_or_path in scenario_names():
        return packaged_dir("scenarios") / f"{name_or_path}.yaml"
    raise InputError(Problem(f"there is no file and no scenario called {name_or_path!r}",
                             hint=alternatives(name_or_path, scenario_names())))


def _shaped(document: Document, path: Path) -> Scenario:
    """The first pass; when it fails, what the second finds in the rest of the document is reported too."""
    try:
        return _placed(validate(Scenario, document), path)
    except InputError as error:
        more = map(document.located, _problems_of_rest(document, error.problems, path))
        raise InputError(in_file_order([*error.problems, *more])) from None


def _placed(scenario: Scenario, path: Path) -> Scenario:
    scenario._source_file = path
    return scenario


def _problems(scenario: Scenario) -> Sequence[Problem]:
    """The second and the third pass."""
    try:
        return list(sense.doubts(scenario, references.resolve(scenario)))
    except InputError as error:
        return error.problems


def _problems_of_rest(document: Document, wrong: Sequence[Problem], path: Path) -> Sequence[Problem]:
    """What the second pass finds when the wrong settings are left out; nothing where that changes the meaning."""
    rest = replace(document, data=deepcopy(document.data))
    try:
        for problem in wrong:
            _leave_out(rest, problem.path)
        references.resolve(_placed(validate(Scenario, rest), path))
    except _Needed:
        return ()
    except InputError as error:
        return [problem for problem in error.problems if not problem.file or problem.file != document.file]
    return ()


class _Needed(Exception):
    """A setting that others refer to, or that must be given."""


def _leave_out(document: Document, path: str) -> None:
    """Removes the setting at the dotted `path`, so that its default counts."""
    keys = find(document.data, path)
    if isinstance(keys[-1], int) or keys[-1] in {"", "name", "count", "profiles"}:
        raise _Needed
    parent = document.data
    for key in keys[:-1]:
        parent = parent[key]
    parent.pop(keys[-1], None)
