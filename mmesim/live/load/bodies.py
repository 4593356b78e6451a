"""What is sent: one inference request for each model and number of items, made once.

From the configuration of the model, which the server tells, or from the user: a file, or the inputs' names, types and
shapes. Models of one group of the scenario are alike: the first whose configuration the server knows speaks for all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmesim.errors import InputError, Problem
from mmesim.triton.client import SIZES, TritonError, request_for

Config = Mapping[str, Any]
"""A model's configuration as Triton tells it, or what of it is needed: max_batch_size and input."""
TYPES = {"BYTES": "TYPE_STRING", **{name.removeprefix("TYPE_"): name for name in SIZES}}
"""The protocol's names of data types -> the configuration's."""
HINT = "give --input NAME:TYPE:SHAPE, e.g. INPUT:FP32:3,224,224, or --body FILE"


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body; `json_bytes` is the length of its JSON part when tensors follow it, else 0."""

    data: bytes
    json_bytes: int = 0


@dataclass(frozen=True)
class BodyOptions:
    """What the user says of the bodies."""

    file: Path | None = None
    """For every model."""
    files: Sequence[tuple[str, Path]] = ()
    """(shell pattern on model names, file): the first that matches."""
    inputs: Sequence[str] = ()
    """``NAME:TYPE:SHAPE`` for every model; SHAPE without the batch."""
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)


class Bodies:
    """The body for each model by name and number of items."""

    def __init__(self, sources: Mapping[str, Config | bytes]) -> None:
        self._sources = sources
        self._made: dict[tuple[int, int], Body] = {}

    def of(self, model: str, items: int) -> Body:
        """The body of a request of so many items (of a file: as it is)."""
        source = self._sources[model]
        key = (id(source), items)
        if key not in self._made:
            self._made[key] = _made(source, model, items)
        return self._made[key]


def _made(source: Config | bytes, model: str, items: int) -> Body:
    if isinstance(source, bytes):
        return Body(source, json_bytes(source))
    try:
        request = request_for(source, model, items, {})
    except TritonError as error:
        raise InputError(Problem(str(error), hint=HINT)) from error
    return Body(request.body, request.json_bytes)


def json_bytes(body: bytes) -> int:
    """Length of the JSON that a body begins with when more follows it; 0: all of it is JSON, or nothing is."""
    try:
        _, end = json.JSONDecoder().raw_decode(body.decode("latin-1"))
    except ValueError:
        return 0
    return end if body[end:].strip() else 0


def find_bodies(groups: Sequence[Sequence[str]], options: BodyOptions, ask: Callable[[str], Config] | None) -> Bodies:
    """Bodies for all models, in their groups; `ask` tells a model's configuration, or raises TritonError (None: there
    is nobody to ask). Raises InputError with every group that remains unknown."""
    read = lru_cache(_read)
    given = _given(options.inputs)
    sources: dict[str, Config | bytes] = {}
    problems = []
    for group in groups:
        for model in group:
            path = next((path for pattern, path in options.files if fnmatchcase(model, pattern)), options.file)
            if path is not None:
                sources[model] = read(path)
            elif given is not None:
                sources[model] = given
        rest = [model for model in group if model not in sources]
        try:
            sources |= dict.fromkeys(rest, _asked(rest, ask)) if rest else {}
        except TritonError as error:
            whom = f"{rest[0]} and its like" if len(rest) > 1 else rest[0]
            problems.append(Problem(f"what to send to {whom}? {error}", hint=HINT))
    if problems:
        raise InputError(problems)
    return Bodies(sources)


def _asked(models: Sequence[str], ask: Callable[[str], Config] | None) -> Config:
    """The configuration of the first that is known. Raises TritonError with what was said of the first."""
    if ask is None:
        raise TritonError("SageMaker does not tell")
    first: TritonError | None = None
    for model in models:
        try:
            return ask(model)
        except TritonError as error:
            first = first or error
    assert first is not None
    raise first


def _given(inputs: Sequence[str]) -> Config | None:
    """A configuration of these inputs. Raises InputError."""
    if not inputs:
        return None
    return {"max_batch_size": 1, "input": [_input(text) for text in inputs]}


def _input(text: str) -> dict[str, Any]:
    name, _, rest = text.partition(":")
    kind, _, shape = rest.partition(":")
    try:
        dims = [int(size) for size in shape.split(",") if size]
        if not name or kind not in TYPES or min(dims, default=1) < 1:
            raise ValueError
    except ValueError:
        raise InputError(Problem(f"{text!r} is no input", path="--input", hint="NAME:TYPE:SHAPE, e.g. "
                                 f"INPUT:FP32:3,224,224; types: {', '.join(sorted(TYPES))}")) from None
    return {"name": name, "data_type": TYPES[kind], "dims": dims}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(Problem(f"cannot be read: {error.strerror}", file=str(path), path="--body")) from error
