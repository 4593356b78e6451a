"""Two kinds of wrong, two kinds of exception.

*The input is wrong*: :class:`InputError`, a list of :class:`Problem`, shown as one message; the command ends with exit
code 2 and no traceback. *We are wrong*: an ``assert`` or any other exception; exit code 3, with a traceback.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Iterable


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
    return (f"did you mean {near[0]!r}? " if near else "") + (f"known: {listed}" if names else "none is known")
