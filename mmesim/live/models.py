"""The models of a live endpoint: names, numbers, and what is known of each; the store's list turned into events.

A name keeps its number for as long as the endpoint lives, also while its archive is not in the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mmesim.core.events import Event, ModelAdded, ModelDescribed, ModelRemoved
from mmesim.core.types import ModelSpec
from mmesim.live.ports import Archive

Expect = Callable[[Archive], ModelSpec]
"""What is expected of a model before it was ever loaded."""
EMPTY = ModelSpec("", 0, 0, 0, 0)
"""Stands in the places of models that have not come yet."""


class TooManyModels(Exception):
    """There is no place left for one more model."""


@dataclass
class Change:
    """What a new list of the store changes."""

    events: list[Event]
    replaced: list[int]
    """Models whose archive has another version now: what is on a disk is out of date."""
    without_place: list[str]


class Models:
    """Who is who. `specs` has a place for each model that may come."""

    def __init__(self, archives: Iterable[Archive], expect: Expect, spare: int) -> None:
        self.archives: dict[str, Archive] = {}
        """What the store holds now."""
        self.names: list[str] = []
        self.numbers: dict[str, int] = {}
        self.hidden: set[str] = set()
        """May not be invoked, although they are in the store."""
        self.errors: dict[int, str] = {}
        """Why the last attempt to bring a model up has failed."""
        self._expect = expect
        ordered = sorted(archives, key=lambda archive: archive.name)
        self.specs = [*map(expect, ordered), *[EMPTY] * spare]
        for archive in ordered:
            self._place(archive.name)

    def _place(self, name: str) -> int:
        number = len(self.names)
        if number == len(self.specs):
            raise TooManyModels(name)
        self.names.append(name)
        self.numbers[name] = number
        return number

    def take_in(self, archives: Mapping[str, Archive]) -> Change:
        """The store's list as of now. Models with a number that are new to it, or gone, become events."""
        change = Change([], [], [])
        archives = {name: archive for name, archive in archives.items() if name not in self.hidden}
        for name, archive in sorted(archives.items()):
            before = self.archives.get(name)
            if before is None:
                try:
                    change.events += self._added(archive)
                except TooManyModels:
                    change.without_place.append(name)
            elif before.version != archive.version:
                change.replaced.append(self.numbers[name])
        change.events += [ModelRemoved(self.numbers[name]) for name in self.archives
                          if name not in archives and name in self.numbers]
        self.archives = {name: archive for name, archive in archives.items() if name in self.numbers}
        return change

    def _added(self, archive: Archive) -> list[Event]:
        if archive.name in self.numbers:
            return [ModelAdded(self.numbers[archive.name])]
        number = self._place(archive.name)
        return [self.describe(number, self._expect(archive)), ModelAdded(number)]

    def describe(self, number: int, spec: ModelSpec) -> ModelDescribed:
        """The event that says what is known of a model from now on."""
        self.specs[number] = spec
        return ModelDescribed(number, spec)

    def learnt(self, number: int, **known: float) -> ModelDescribed | None:
        """The same with some fields measured; None when they differ too little from what is expected to matter."""
        spec = self.specs[number]
        if all(abs(value - getattr(spec, name)) <= NOTEWORTHY * abs(getattr(spec, name))
               for name, value in known.items()):
            return None
        return self.describe(number, replace(spec, **known))  # type: ignore[arg-type]

    def listed(self) -> Sequence[str]:
        """Names in the store, sorted."""
        return sorted(self.archives)


NOTEWORTHY = 0.25
"""A measured time or size that differs by more than this share replaces what was expected (assumed)."""
