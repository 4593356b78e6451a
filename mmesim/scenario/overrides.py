"""Settings changed on the command line: ``--set endpoint.instances.max=8``, ``--set models.0.count=5``.

The value is YAML (``90s``, ``[1, 2]``, ``{use: lfu}``, ``null``). A mapping that is not there is made; the index
after a list's last appends to it. Names that hold dots themselves (``instance_types.ml.g4dn.2xlarge``) are found when
they are written in the file. Files named here are relative to the folder the command was given in.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmesim.errors import InputError, Problem, shown
from mmesim.yamldoc import Document, SettingPath, dotted, parse_value

_FILES = ("workload.trace", "workload.arrivals.file")


def apply_overrides(document: Document, overrides: Sequence[str]) -> Document:
    """`document` with the settings ``path=value`` changed. Raises InputError with every one that is wrong."""
    changed = replace(document, data=deepcopy(document.data), places=dict(document.places))
    problems: list[Problem] = []
    for text in overrides:
        try:
            _apply(changed, text)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return changed


def _apply(document: Document, text: str) -> None:
    origin = f"--set {text}"
    name, equals, written = text.partition("=")
    name = name.strip()
    if not equals or not all(name.split(".")):
        raise InputError(Problem("is not a setting", file=origin, hint="write --set path.to.setting=value"))
    value = parse_value(written, origin)
    if isinstance(value, str) and (name in _FILES or name.startswith("profiles.")):
        value = str(Path.cwd() / value)
    path = find(document.data, name)
    _assign(document.data, path, value, origin)
    for known in [place for place in document.places if place == name or place.startswith(f"{name}.")]:
        del document.places[known]
    document.places[dotted(path)] = (origin, 0)


def find(data: Any, name: str) -> SettingPath:
    """The keys and indices that the dotted `name` stands for; the longest key that is there wins."""
    parts = name.split(".")
    path: list[str | int] = []
    while parts:
        key, used = _step(data, parts)
        path.append(key)
        data = _child(data, key)
        parts = parts[used:]
    return tuple(path)


def _step(data: Any, parts: Sequence[str]) -> tuple[str | int, int]:
    """The next key or index, and how many of the dotted parts it takes."""
    if isinstance(data, dict):
        for used in range(len(parts), 1, -1):
            if ".".join(parts[:used]) in data:
                return ".".join(parts[:used]), used
        return parts[0], 1
    return (int(parts[0]) if parts[0].isdecimal() and len(parts[0]) < 10 else parts[0]), 1


def _child(data: Any, key: str | int) -> Any:
    if isinstance(data, list):
        return data[key] if isinstance(key, int) and key < len(data) else None
    return data.get(key) if isinstance(data, dict) else None


def at(data: Any, path: SettingPath) -> Any:
    """What stands at a path; None: nothing."""
    for key in path:
        data = _child(data, key)
    return data


def _assign(data: Any, path: SettingPath, value: Any, origin: str) -> None:
    """Sets the value at `path`, making the mappings and lists that are missing on the way."""
    for depth, key in enumerate(path[:-1]):
        if _child(data, key) is None:
            _put(data, path[: depth + 1], [] if isinstance(path[depth + 1], int) else {}, origin)
        data = _child(data, key)
    _put(data, path, value, origin)


def _put(data: Any, path: SettingPath, value: Any, origin: str) -> None:
    key, parent = path[-1], dotted(path[:-1])
    if isinstance(data, dict):
        data[str(key)] = value
    elif isinstance(data, list) and isinstance(key, int) and key <= len(data):
        data[key : key + 1] = [value]
    elif isinstance(data, list):
        raise InputError(Problem(f"{parent} has no element {key}", file=origin,
                                 hint=f"write an index from 0 to {len(data)} ({len(data)} appends)"))
    else:
        raise InputError(Problem(f"{parent} is {shown(data)}: it has no {key}", file=origin,
                                 hint=f'set it whole: --set "{parent}={{{key}: …}}"'))
