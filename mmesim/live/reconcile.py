"""What a server really holds against what the endpoint believes: one comparison for start, crash and regular looks.

The server is right. What is under way is left alone: it will report its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mmesim.core.lifecycle import Residency


@dataclass(frozen=True, slots=True)
class Held:
    """One server as it was found."""

    ready: frozenset[str]
    """READY by its repository index."""
    on_disk: Mapping[str, int]
    """Whole models on its disk, with their bytes."""


@dataclass
class Difference:
    """What has to be done so that belief and reality are one."""

    found: list[tuple[str, bool]] = field(default_factory=list)
    """(model, loaded): there, and not known."""
    lost: list[tuple[str, bool]] = field(default_factory=list)
    """(model, its files are on the disk): known, and not there."""
    strays: list[str] = field(default_factory=list)
    """Loaded, and not to be: the endpoint has no such model, or gave it up."""
    litter: list[str] = field(default_factory=list)
    """Files of models that the endpoint does not have."""

    def __bool__(self) -> bool:
        return bool(self.found or self.lost or self.strays or self.litter)


AT_REST = (Residency.ABSENT, Residency.ON_DISK, Residency.READY, Residency.FAILED)


def compare(held: Held, believed: Mapping[str, Residency], busy: frozenset[str]) -> Difference:
    """`believed`: where each model of the endpoint stands on this server; `busy`: models that are not to be touched
    now, because something is under way or has changed since the look."""
    found = Difference()
    for name in sorted({*held.ready, *held.on_disk, *(n for n, s in believed.items() if s is not Residency.ABSENT)}):
        if name in busy:
            continue
        loaded, on_disk, state = name in held.ready, name in held.on_disk, believed.get(name)
        if state is None:
            _unknown(found, name, loaded, on_disk)
        elif state in AT_REST:
            _known(found, name, loaded, on_disk, state)
    return found


def _unknown(found: Difference, name: str, loaded: bool, on_disk: bool) -> None:
    if loaded:
        found.strays.append(name)
    elif on_disk:
        found.litter.append(name)


def _known(found: Difference, name: str, loaded: bool, on_disk: bool, state: Residency) -> None:
    if state is Residency.READY:
        if not loaded:
            found.lost.append((name, on_disk))
    elif loaded and state is Residency.FAILED:
        found.strays.append(name)
    elif loaded:
        found.found.append((name, True))
    elif state is Residency.ABSENT:
        if on_disk:
            found.found.append((name, False))
    elif not on_disk:
        found.lost.append((name, False))
