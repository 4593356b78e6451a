"""JSON that somebody else wrote: every value knows its path, and what is missing or of another kind is said so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from mmesim.errors import InputError, Problem, shown
from mmesim.profile.readers.source import parse_number

CUT_SHORT = "the file was cut short: copy it again, or name an older checkpoint"


def read_json(path: Path, text: str) -> Node:
    """The root of a JSON text. Raises InputError with the line where it stops making sense."""
    try:
        return Node(path, json.loads(text, parse_constant=str))
    except json.JSONDecodeError as error:
        at_end = error.pos >= len(text.rstrip()) - 1 or "Unterminated" in error.msg
        message = f"the JSON ends in the middle: {error.msg}" if at_end else f"is not JSON: {error.msg}"
        raise InputError(Problem(f"{message} (column {error.colno})", file=str(path), line=error.lineno,
                                 hint=CUT_SHORT if at_end else "name the checkpoint as Model Analyzer has written it")
                         ) from None
    except (RecursionError, ValueError) as error:
        raise InputError(Problem(f"is not a checkpoint: {str(error)[:80]}", file=str(path),
                                 hint="name the checkpoint as Model Analyzer has written it")) from None


@dataclass(frozen=True, slots=True)
class Node:
    """A value in a JSON file."""

    path: Path
    value: Any
    at: str = ""
    """Where it stands: keys and indices, joined by dots."""

    def wrong(self, wanted: str) -> InputError:
        """The error to raise for this value."""
        return InputError(Problem(f"is {shown(self.value)}, not {wanted}", file=str(self.path), path=self.at,
                                  hint="was the file changed by hand, or written by another tool?"))

    def get(self, *names: str) -> Node | None:
        """The first of these keys that is there and not null. (Protobuf's JSON has two spellings of every name.)"""
        members = self.members()
        return next((self._child(name, members[name]) for name in names if members.get(name) is not None), None)

    def need(self, *names: str) -> Node:
        """The same, but it must be there."""
        found = self.get(*names)
        if found is None:
            raise InputError(Problem(f"has no {' or '.join(map(repr, names))}", file=str(self.path), path=self.at,
                                     hint=f"it has: {', '.join(list(self.members())[:8]) or 'nothing'}"))
        return found

    def members(self) -> dict[str, Any]:
        """An object's raw members."""
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        return self.value

    def items(self) -> Iterator[tuple[str, Node]]:
        """An object's members, in file order."""
        return ((name, self._child(name, value)) for name, value in self.members().items())

    def elements(self) -> list[Node]:
        """An array's elements."""
        if not isinstance(self.value, list):
            raise self.wrong("an array")
        return [self._child(str(n), value) for n, value in enumerate(self.value)]

    def text(self) -> str:
        """A string."""
        if not isinstance(self.value, str):
            raise self.wrong("a text")
        return self.value

    def number(self) -> Decimal:
        """A number that is not negative, also one that was written as a string (as protobuf does)."""
        value = None if isinstance(self.value, bool | list | dict) else parse_number(str(self.value))
        if value is None:
            raise self.wrong("a number that is not negative")
        return value

    def count(self, least: int = 0) -> int:
        """A whole number."""
        value = self.number()
        if value != value.to_integral_value() or value < least:
            raise self.wrong(f"a whole number from {least} on")
        return int(value)

    def _child(self, name: str, value: Any) -> Node:
        return Node(self.path, value, f"{self.at}.{name}" if self.at else name)
