"""Writes a profile as YAML that a person can read: one number a line, each with how it is known."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

SECTIONS = ("sources", "measured_on", "latency")
"""Top-level mappings that stand in a paragraph of their own, after the texts and before the numbers."""
INDENT = "  "
_OTHERWISE_READ = re.compile(r"[+-]?[.\d]+([eE][+-]?\d+)?\Z|(?i:~|null|true|false)\Z")
"""Text that a YAML reader takes for something else."""


class Verbatim(str):
    """A value that is written as it stands, without quotes: ``268MiB``, ``[16]``."""

    __slots__ = ()


def profile_yaml(head: str, profile: Mapping[str, Any]) -> str:
    """The file: `head` (comment lines), texts, sections, numbers. What is None or empty text is left out."""
    there = {name: value for name, value in profile.items() if value is not None}
    texts = {name: value for name, value in there.items() if isinstance(value, str)}
    parts = [texts, *({name: there[name]} for name in SECTIONS if name in there),
             {name: value for name, value in there.items() if name not in SECTIONS and name not in texts}]
    return head + "\n\n".join("\n".join(_block(part)) for part in parts if part) + "\n"


def plain(text: object) -> str:
    """A YAML scalar inside braces; quoted only where it must be."""
    written = str(text)
    risky = any(mark in written for mark in ":,[]{}#&*!|>'\"%@`") or written[:1] in "-? " or not written or (
        isinstance(text, str) and _OTHERWISE_READ.match(text))
    return json.dumps(written, ensure_ascii=False) if risky else written


def _block(mapping: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """Lines of a mapping; a number, or an element of a list, stands on one line."""
    for name, value in mapping.items():
        start = f"{INDENT * depth}{name}:"
        if isinstance(value, Mapping) and "value" not in value:
            yield start
            yield from _block(value, depth + 1)
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            yield start
            yield from (f"{INDENT * (depth + 1)}- {_flow(item)}" for item in value)
        elif value != "":
            yield f"{start} {_flow(value)}"


def _flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_flow(one)}" for name, one in value.items() if one not in ("", None)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return value if isinstance(value, Verbatim) else plain(value)
