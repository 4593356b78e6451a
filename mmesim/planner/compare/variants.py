"""Which variants are compared: ``--vary path=a,b`` (several make a full grid) and ``--variant "name: path=a; path=b"``.

Every variant is loaded and checked as its own scenario before anything runs, and all problems of all variants are
reported together. The scenario as it stands is the baseline, unless one of the variants says the same, or another is
asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

from mmesim.errors import InputError, Problem, alternatives
from mmesim.planner.compare.naming import AS_WRITTEN, names_of
from mmesim.planner.runs.axes import Axis, axes, settable, split
from mmesim.planner.runs.contender import Contender
from mmesim.scenario.load import load_scenario
from mmesim.scenario.overrides import at, find
from mmesim.scenario.schema import Scenario
from mmesim.yamldoc import parse_value

MOST = 200
"""Variants; a grid grows faster than one thinks."""


@dataclass(frozen=True)
class Choice:
    """One variant as asked for."""

    settings: tuple[tuple[str, str], ...]
    """(setting path, value as written)."""
    name: str = ""
    """Given by the user, else made from the settings."""

    @property
    def overrides(self) -> list[str]:
        return [f"{path}={value}" for path, value in self.settings]


def contenders(scenario: str, *, vary: Sequence[str] = (), variant: Sequence[str] = (), overrides: Sequence[str] = (),
               baseline: str | None = None) -> list[Contender]:
    """All variants of the scenario (a file or a packaged name), the baseline first. Raises InputError with every
    problem of every variant.

    `overrides` are changed in all of them.
    """
    varied = axes(vary)
    asked = _named([*_grid(varied), *map(_by_hand, variant)])
    base, loaded = _load(scenario, overrides, asked)
    found = [Contender(choice.name, dict(choice.settings), one) for choice, one in zip(asked, loaded, strict=True)]
    if baseline is not None:
        return _led_by(found, baseline)
    same = [one for one in found if one.scenario.resolved() == base.resolved()]
    if same:
        return _led_by(found, same[0].name)
    return [Contender(_name_as_it_stands(base, varied, found), {}, base), *found]


# ---- what was asked for


def _grid(varied: Sequence[Axis]) -> list[Choice]:
    paths = [axis.path for axis in varied]
    _limited(prod(len(axis.values) for axis in varied))
    return [Choice(tuple(zip(paths, values, strict=True)))
            for values in product(*(axis.values for axis in varied))] if varied else []


def _by_hand(text: str) -> Choice:
    """``my name: endpoint.eviction.gpu=lfu; endpoint.instances=4``."""
    name, colon, written = text.partition(":")
    parts = [part.partition("=") for part in split(written, ";") if part.strip()]
    if not colon or not name.strip() or "=" in name or not all(equals and path.strip() for path, equals, _ in parts):
        raise InputError(Problem("is not a name and its settings", file=f"--variant {text}",
                                 hint='write --variant "name: path=value; path=value"'))
    return Choice(tuple((settable(path.strip(), f"--variant {text}"), value.strip()) for path, _, value in parts),
                  name.strip())


def _named(asked: list[Choice]) -> list[Choice]:
    if not asked:
        raise InputError(Problem("nothing to compare", hint="name a setting and its values, e.g. "
                                                            "--vary endpoint.eviction.gpu=lru,lfu"))
    _limited(len(asked))
    made = names_of([{path: _parsed(value) for path, value in choice.settings} for choice in asked if not choice.name])
    rest = iter(made)
    named = [choice if choice.name else replace(choice, name=next(rest)) for choice in asked]
    names = [choice.name for choice in named]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(Problem(f"two variants are called {twice[0]!r}", hint='name one by hand: --variant "name: …"'))
    return named


def _limited(variants: int) -> None:
    if variants > MOST:
        raise InputError(Problem(f"{variants} variants", hint=f"at most {MOST} are compared: vary fewer settings, or "
                                                              "use `mmesim sweep`"))


def _parsed(written: str) -> Any:
    """The value, for its name; what cannot be read is reported when the variant is loaded."""
    try:
        return parse_value(written, "")
    except InputError:
        return written


# ---- checked


def _load(scenario: str, overrides: Sequence[str], asked: Sequence[Choice]) -> tuple[Scenario, list[Scenario]]:
    """The scenario as it stands and each variant of it; raises all problems together."""
    problems: list[Problem] = []
    loaded: list[Scenario] = []
    try:
        base = load_scenario(scenario, overrides)
    except InputError as error:
        problems += error.problems
    for choice in asked:
        try:
            loaded.append(load_scenario(scenario, [*overrides, *choice.overrides]))
        except InputError as error:
            problems += _told(error.problems, problems, choice)
    if problems:
        raise InputError(dict.fromkeys(problems))
    return base, loaded


def _told(problems: Sequence[Problem], known: Sequence[Problem], choice: Choice) -> Iterator[Problem]:
    """The variant's problems, with its name where the place does not tell."""
    for problem in problems:
        if problem.file in [f"--set {each}" for each in choice.overrides]:
            yield replace(problem, file=problem.file.replace("--set", "variant", 1))
        elif problem not in known:
            yield replace(problem, message=f"{problem.message} (variant {choice.name!r})")


def _led_by(found: list[Contender], name: str) -> list[Contender]:
    names = [one.name for one in found]
    if name not in names:
        raise InputError(Problem(f"there is no variant {name!r} to be the baseline", hint=alternatives(name, names)))
    return sorted(found, key=lambda one: one.name != name)


def _name_as_it_stands(base: Scenario, varied: Sequence[Axis], found: Sequence[Contender]) -> str:
    """By its values of the varied settings, where these have a short name of their own."""
    resolved = base.resolved()
    values = {axis.path: at(resolved, find(resolved, axis.path)) for axis in varied}
    plain = values and all(isinstance(value, str | int | float) or (isinstance(value, dict) and "use" in value)
                           for value in values.values())
    name = names_of([values])[0] if plain else AS_WRITTEN
    return name if name not in [one.name for one in found] else AS_WRITTEN
