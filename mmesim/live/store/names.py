"""Which models a listing holds: names from keys, what is ignored, what is refused, and what has changed since.

A name becomes a folder's name in the model repository, a part of URLs and a string in config.pbtxt; so it is made of
few characters, and none of them can lead out of the repository.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mmesim.live.ports import Archive

SUFFIX = ".tar.gz"
MAX_CHARACTERS = 200
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=@~-]*")
_ALLOWED = "letters, digits and _.+=@~- (not first: .+=@~-)"


@dataclass(frozen=True, slots=True)
class Listing:
    """What the source holds."""

    archives: Mapping[str, Archive] = field(default_factory=dict)
    ignored: int = 0
    """Entries that are no archives."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Key below the prefix -> why it cannot be a model."""


@dataclass(frozen=True, slots=True)
class Changes:
    """How one listing differs from an earlier one; names in order."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    replaced: tuple[str, ...]


def changes(before: Mapping[str, Archive], now: Mapping[str, Archive]) -> Changes:
    """What came, what went, and what has another version."""
    both = sorted(before.keys() & now.keys())
    return Changes(tuple(sorted(now.keys() - before.keys())), tuple(sorted(before.keys() - now.keys())),
                   tuple(name for name in both if before[name].version != now[name].version))


def refusal(name: str) -> str:
    """Why this cannot be a model's name; empty when it can."""
    if "/" in name:
        return "lies in a folder below the prefix"
    if ".." in name or name.startswith("."):
        return "could leave the repository"
    if len(name) > MAX_CHARACTERS:
        return f"is longer than {MAX_CHARACTERS} characters"
    return "" if _NAME.fullmatch(name) else f"has characters other than {_ALLOWED}"


def listing(entries: Iterable[tuple[str, int, str]], ignored: int = 0) -> Listing:
    """Of (key below the prefix, bytes, version): keys that end in ``.tar.gz`` are models, the rest is counted."""
    archives: dict[str, Archive] = {}
    refused: dict[str, str] = {}
    for key, size_bytes, version in entries:
        if not key.endswith(SUFFIX):
            ignored += 1
            continue
        name = key.removesuffix(SUFFIX)
        if why := refusal(name):
            refused[key] = why
        else:
            archives[name] = Archive(name, size_bytes, version)
    return Listing(archives, ignored, refused)
