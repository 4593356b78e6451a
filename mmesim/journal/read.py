"""Reads a journal back, step by step, as the events and actions it was written from."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmesim.core.actions import Action
from mmesim.core.decisions import Decision
from mmesim.core.events import Event
from mmesim.errors import InputError, Problem
from mmesim.journal.text import DECISIONS, SCHEMA, value_from_json


@dataclass(frozen=True, slots=True)
class Step:
    """What the controller was told at `now_ns`, and what it answered."""

    now_ns: int
    event: Event
    actions: tuple[Action, ...]
    decisions: tuple[Decision, ...] = ()
    """How policies came to the actions, where they told."""


class JournalReader:
    """An open journal: `header`, then iterate over its steps once."""

    def __init__(self, lines: Iterator[str], name: str) -> None:
        self._lines = lines
        self._name = name
        self._number = 0
        self.header: dict[str, Any] = self._parsed(next(lines, ""))
        layout = self.header.get("journal")
        if layout is None:
            raise InputError(Problem(f"{name} is not a journal", line=1, hint="`mmesim run` writes journal.jsonl.zst"))
        if layout != SCHEMA:
            raise InputError(Problem(f"{name} is a journal of layout {layout}; this mmesim reads layout {SCHEMA}",
                                     line=1, hint="read it with the version that wrote it, or run it again"))

    def __iter__(self) -> Iterator[Step]:
        """Raises InputError at a line that is not a step."""
        return self.steps()

    def steps(self, wanted: Callable[[str], bool] | None = None) -> Iterator[Step]:
        """The same; `wanted` says by their text whether a step's decisions are read: most of a journal is decisions."""
        for line in self._lines:
            told = line.find(DECISIONS) if wanted is not None else -1
            data = self._parsed(line if told < 0 or wanted is None or wanted(line[told:]) else line[:told] + "}")
            try:
                yield Step(data["t"], value_from_json(data["event"]), tuple(map(value_from_json, data["actions"])),
                           tuple(map(value_from_json, data.get("decisions", ()))))
            except (KeyError, TypeError, ValueError) as error:
                raise self._damaged(str(error)) from error

    def _parsed(self, line: str) -> dict[str, Any]:
        self._number += 1
        try:
            data = json.loads(line)
        except ValueError as error:
            raise self._damaged(str(error)) from error
        if not isinstance(data, dict):
            raise self._damaged("not an object")
        return data

    def _damaged(self, why: str) -> InputError:
        return InputError(Problem(f"not a step of a journal: {why}", file=self._name, line=self._number,
                                  hint="the file is damaged or was cut off; record it again"))


@contextmanager
def open_journal(path: Path) -> Iterator[JournalReader]:
    """Open ``*.jsonl.zst``, or the same uncompressed. Raises InputError when it cannot be read."""
    import zstandard

    path = Path(path)
    try:
        with path.open("rb") as file:
            raw = zstandard.ZstdDecompressor().stream_reader(file) if path.suffix == ".zst" else file
            yield JournalReader(_lines(io.TextIOWrapper(raw, encoding="utf-8"), str(path)), str(path))
    except OSError as error:
        raise InputError(Problem(f"cannot read {path}: {error.strerror}", hint="is it a journal?")) from error


def _lines(text: io.TextIOBase, name: str) -> Iterator[str]:
    """Lines; a broken compression or encoding is the input's fault."""
    import zstandard

    try:
        yield from text
    except (zstandard.ZstdError, UnicodeDecodeError) as error:
        raise InputError(Problem(f"cannot read {name}: {error}", hint="is it a journal?")) from error
