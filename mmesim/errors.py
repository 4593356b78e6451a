"""Two kinds of wrong, two kinds of exception.

*The input is wrong*: :class:`InputError`, a list of :class:`Problem`, shown as one message; the
command ends with exit code 2 and no traceback. *We are wrong*: an ``assert`` or any
other exception; exit code 3, with a traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in what the user gave us."""

    message: str
    """What is wrong, with the value in it."""
    path: str = ""
    """Setting path, e.g. ``endpoint.instances.max``; empty when the file as a whole is meant."""
    file: str = ""
    line: int = 0
    """1-based line in `file`; 0 when unknown."""
    hint: str = ""
    """What was possible and what to do."""

    def __str__(self) -> str:
        where = self.file + (f":{self.line}" if self.line else "")
        head = ": ".join(part for part in (where, self.path, self.message) if part)
        return f"{head}\n    {self.hint}" if self.hint else head


class InputError(Exception):
    """The input is wrong; carries every problem found, in file order."""

    def __init__(self, problems: Iterable[Problem] | Problem | str) -> None:
        if isinstance(problems, str):
            problems = Problem(problems)
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def alternatives(value: str, known: Iterable[str], *, most: int = 12) -> str:
    """A hint for an unknown name: the nearest match first, then what is known (at most `most` names)."""
    names = sorted(known)
    near = get_close_matches(value, names, n=1, cutoff=0.5)
    listed = ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")
    guess = f"did you mean {near[0]!r}? " if near else ""
    return guess + (f"known: {listed}" if names else "none is known")


def shown(value: object) -> str:
    """A value as it was written in a settings file, cut to a length that fits a message."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str) and len(value) > 40:
        return f"{value[:40]!r}…"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def format_problems(error: InputError) -> str:
    """Every problem, grouped by file: ``2 problems in my.yaml:`` and then a line and a hint each."""
    by_file: dict[str, list[Problem]] = {}
    for problem in error.problems:
        by_file.setdefault(problem.file, []).append(problem)
    return "\n".join(_format_file(file, problems) for file, problems in by_file.items())


def _format_file(file: str, problems: list[Problem]) -> str:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return "\n".join((f"{count} in {file}:" if file else f"{count}:", *map(_format_problem, problems)))


def _format_problem(problem: Problem) -> str:
    where = f"line {problem.line}" if problem.line else ""
    head = ": ".join(part for part in (where, problem.path, problem.message) if part)
    return f"  {head}" + (f"\n      {problem.hint}" if problem.hint else "")
