"""Twins: presets that behave like a named real system, chosen by one line (``endpoint: {like: sagemaker-mme}``).

A twin is a file in ``scenarios/twins`` with the settings of an endpoint and, beside each, where the rule was read. It
stands under what the scenario says: a setting that is written (or given with ``--set``) counts, of the others the
twin's do, and only then the defaults. A policy is taken whole: its parameters belong to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from mmesim.errors import InputError, alternatives
from mmesim.packaged import packaged_dir
from mmesim.yamldoc import Document, load_document


@dataclass(frozen=True)
class Twin:
    """A real system's rules as settings."""

    name: str
    summary: str
    endpoint: dict[str, Any]
    document: Document
    text: str
    """The file, with the source of each rule."""


def twin_names() -> list[str]:
    """Names of the twins, sorted."""
    return sorted(path.stem for path in packaged_dir("scenarios").glob("twins/*.yaml"))


def load_twin(name: str) -> Twin:
    """The twin of this name, which exists."""
    path = packaged_dir("scenarios") / "twins" / f"{name}.yaml"
    document = load_document(path)
    return Twin(name, document.data["summary"], document.data["endpoint"], document,
                path.read_text(encoding="utf-8"))


def with_twin(document: Document) -> Document:
    """The scenario with the settings of the twin that it names, where it gives none itself. Raises InputError."""
    endpoint = document.data.get("endpoint")
    name = endpoint.get("like") if isinstance(endpoint, dict) else None
    if name is None:
        return document
    if name not in twin_names():
        raise InputError(document.problem(("endpoint", "like"), f"there is no twin {name!r}",
                                          alternatives(str(name), twin_names())))
    twin = load_twin(name)
    merged = replace(document, data=deepcopy(document.data), places=dict(document.places))
    for path in _merge(merged.data["endpoint"], twin.endpoint, "endpoint"):
        for place, where in twin.document.places.items():
            if place == path or place.startswith(f"{path}."):
                merged.places[place] = where
    return merged


def _merge(given: dict[str, Any], twin: dict[str, Any], path: str) -> Iterator[str]:
    """Put into `given` what it lacks; yields the paths of what was put in."""
    for name, value in twin.items():
        here = f"{path}.{name}"
        if name not in given:
            given[name] = deepcopy(value)
            yield here
        elif isinstance(given[name], dict) and isinstance(value, dict) and not {"use", "law"} & {*given[name], *value}:
            yield from _merge(given[name], value, here)
