"""Names of variants: short and unique, only what differs. ``lru``, ``gdsf cost=one, 4 instances``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

AS_WRITTEN = "as written"
"""The scenario as it stands, where no value tells it from the variants."""


def names_of(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each variant from its setting path -> value; the short form where it is unique for all of them."""
    for form in (_bare, _with_key, _with_path):
        names = [", ".join(form(path, value) for path, value in each.items()) or AS_WRITTEN for each in settings]
        if len(set(names)) == len(names) and not (form is _bare and _ambiguous(settings)):
            return names
    return names


def _ambiguous(settings: Sequence[Mapping[str, Any]]) -> bool:
    """True when one bare word is the value of two settings: the reader could not tell which."""
    places: dict[str, str] = {}
    pairs = {(path, _bare(path, value)) for each in settings for path, value in each.items()}
    return any(places.setdefault(text, path) != path for path, text in sorted(pairs))


def _bare(path: str, value: Any) -> str:
    """``gdsf``, ``4 instances``; with the setting's last word where the value alone says nothing."""
    if path == "endpoint.instances" and isinstance(value, int):
        return f"{value} instance" + ("" if value == 1 else "s")
    if isinstance(value, list | tuple) and all(map(_is_policy, value)):
        return " + ".join(_text(one["use"]) for one in value) or f"no {path.rpartition('.')[2]}"
    return _text(value) if isinstance(value, str) or _is_policy(value) else _with_key(path, value)


def _with_key(path: str, value: Any) -> str:
    return f"{path.rpartition('.')[2]}={_text(value)}"


def _with_path(path: str, value: Any) -> str:
    return f"{path}={_text(value)}"


def _is_policy(value: Any) -> bool:
    return isinstance(value, Mapping) and "use" in value


def _text(value: Any) -> str:
    """A value in few characters: a policy by its name and parameters, a user's class without its file."""
    if isinstance(value, Mapping):
        items = dict(value)
        head = [_text(items.pop("use"))] if "use" in items else []
        return " ".join([*head, *(f"{key}={_text(item)}" for key, item in items.items())])
    if isinstance(value, list | tuple):
        return f"[{' '.join(map(_text, value))}]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    text = str(value)
    module, colon, name = text.rpartition(":")
    return name if colon and name.isidentifier() and module else text
