"""Points as scenarios, loaded and checked before anything runs; many of them over the machine's cores.

A point costs about 11 ms (loading, the three passes of checks, and the digest that its runs are stored under), so a
thousand take eleven seconds of one core.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from mmesim.errors import InputError, Problem
from mmesim.parallel import side_by_side
from mmesim.planner.runs.contender import Contender
from mmesim.planner.sweep.design import Settings
from mmesim.scenario.load import load_scenario

AT_ONCE = 100
"""Points that one process checks; fewer than two such parts are not worth other processes."""
TOLD = 5
"""Numbers of points in a message about many."""


@dataclass(frozen=True)
class Point:
    """One point of a design."""

    number: int
    """From 0."""
    settings: Settings
    contender: Contender | None
    """None: it is wrong."""
    problems: tuple[Problem, ...] = ()

    @property
    def error(self) -> str:
        """What is wrong, in a line; empty when nothing is."""
        return "; ".join(": ".join(part for part in (one.path, one.message) if part) for one in self.problems)


def checked(scenario: str, overrides: Sequence[str], design: Sequence[Settings], processes: int = -1,
            done: Callable[[int], None] | None = None) -> list[Point]:
    """Every point of the design. Raises InputError when the scenario is wrong as it stands, with the overrides."""
    load_scenario(scenario, overrides)
    numbered = list(enumerate(design))
    parts = [numbered[at:at + AT_ONCE] for at in range(0, len(numbered), AT_ONCE)]
    points = side_by_side(partial(_part, scenario, tuple(overrides)), parts,
                          processes=processes if len(parts) > 2 else 1,
                          done=done and (lambda n: done(min(n * AT_ONCE, len(numbered)))))
    return [point for part in points for point in part]


def _part(scenario: str, overrides: Sequence[str], part: Sequence[tuple[int, Settings]]) -> list[Point]:
    return [_point(scenario, overrides, number, settings) for number, settings in part]


def _point(scenario: str, overrides: Sequence[str], number: int, settings: Settings) -> Point:
    own = [f"{path}={value}" for path, value in settings.items()]
    try:
        contender = Contender(str(number), settings, load_scenario(scenario, [*overrides, *own]))
        assert contender.digest  # made here, by this process
        return Point(number, settings, contender)
    except InputError as error:
        return Point(number, settings, None, tuple(_of_point(problem, own) for problem in error.problems))


def _of_point(problem: Problem, own: Sequence[str]) -> Problem:
    """What the point sets was not written as --set."""
    is_own = problem.file in [f"--set {each}" for each in own]
    return replace(problem, file=problem.file.replace("--set", "point", 1)) if is_own else problem


def all_valid(points: Sequence[Point]) -> Sequence[Point]:
    """The points, if none is wrong. Raises InputError with every problem once, and how many points have it."""
    having: dict[Problem, list[int]] = {}
    for point in points:
        for problem in point.problems:
            having.setdefault(problem, []).append(point.number)
    if having:
        raise InputError([replace(problem, message=f"{problem.message} ({_of(numbers)})")
                          for problem, numbers in having.items()])
    return points


def _of(numbers: Sequence[int]) -> str:
    """``point 3``, ``12 points: 0, 4, 8, 12, 16, …``."""
    if len(numbers) == 1:
        return f"point {numbers[0]}"
    return f"{len(numbers)} points: {', '.join(map(str, numbers[:TOLD]))}" + (", …" if len(numbers) > TOLD else "")
