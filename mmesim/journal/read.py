"""Reads a journal back, line by line, as the events and actions it was written from."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmesim.core.events import ModelDescribed
from mmesim.errors import InputError, Problem
from mmesim.journal.entries import Entry, Step, entry_from_json
from mmesim.journal.parts import PartLines, latest_start
from mmesim.journal.text import DECISIONS, END, READABLE, SCHEMA


class JournalReader:
    """An open journal: `header`, then iterate over its steps (or entries, or raw lines) once."""

    def __init__(self, lines: Iterable[str], name: str) -> None:
        self.name = name
        self._ended = False
        self.tells_decisions = False
        """Whether a step read so far tells how policies decided."""
        self._lines = iter(lines)
        self._number = 0
        self.header: dict[str, Any] = self._parsed(next(self._lines, ""))
        """In a live journal, models that are described later get their names there as they are read."""
        layout = self.header.get("journal")
        if layout is None:
            raise InputError(Problem(f"{name} is not a journal", line=1, hint="`mmesim run` writes journal.jsonl.zst"))
        if layout not in READABLE:
            raise InputError(Problem(f"{name} is a journal of layout {layout}; this mmesim reads layout {SCHEMA}",
                                     line=1, hint="read it with the version that wrote it, or run it again"))

    @property
    def is_live(self) -> bool:
        """Written by a live endpoint: it holds the requests too."""
        return "live" in self.header

    @property
    def cut_off(self) -> bool:
        """Read to what is there of a live journal's end: its writer was killed, or still writes."""
        return self.is_live and not self._ended

    def __iter__(self) -> Iterator[Step]:
        """Raises InputError at a line that is not a step."""
        return self.steps()

    def steps(self, wanted: Callable[[str], bool] | None = None) -> Iterator[Step]:
        """The same; `wanted` says by their text whether a step's decisions are read: most of a journal is decisions.
        What requests did is passed over."""
        for line in self.lines():
            if '"event":' in line:
                told = line.find(DECISIONS)
                self.tells_decisions |= told >= 0
                step = self.entry(line if told < 0 or wanted is None or wanted(line[told:]) else line[:told] + "}")
                assert isinstance(step, Step)
                yield step
            elif not self.is_live:
                raise self._damaged("it has no event")

    def entries(self) -> Iterator[Entry]:
        """Everything. Raises InputError at a line that says nothing."""
        return map(self.entry, self.lines())

    def lines(self) -> Iterator[str]:
        """The lines behind the header, as they were written."""
        for line in self._lines:
            if line.startswith(END):
                self._end(line)
                return
            self._number += 1
            yield line

    def _end(self, line: str) -> None:
        self._ended = True
        if line != f"{END}{self._number - 1}}}":
            raise InputError(Problem(f"{self.name} is damaged: it ends with {line!r} behind {self._number - 1} lines"))

    def entry(self, line: str) -> Entry:
        """What the line at hand says. Raises InputError."""
        data = self._object(line)
        try:
            entry = entry_from_json(data)
            if self.is_live and isinstance(entry, Step) and isinstance(entry.event, ModelDescribed):
                self._describe(entry.event)
            return entry
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise self._damaged(str(error)) from error

    def _describe(self, event: ModelDescribed) -> None:
        self.header["models"][event.model] = event.spec.name
        self.header["reload_s"][event.model] = [event.spec.reload_disk_s, event.spec.reload_s3_s]

    def _parsed(self, line: str) -> dict[str, Any]:
        self._number += 1
        return self._object(line)

    def _object(self, line: str) -> dict[str, Any]:
        try:
            data = json.loads(line)
        except ValueError as error:
            raise self._damaged(str(error)) from error
        if not isinstance(data, dict):
            raise self._damaged("not an object")
        return data

    def _damaged(self, why: str) -> InputError:
        return InputError(Problem(f"not a step of a journal: {why}", file=self.name, line=self._number,
                                  hint="the file is damaged or was cut off; record it again"))


@contextmanager
def open_journal(path: Path, follow: Callable[[], bool] | None = None) -> Iterator[JournalReader]:
    """Open ``*.jsonl.zst``, or the same uncompressed, or the folder of a live journal (its latest start). `follow`: see
    :class:`mmesim.journal.parts.PartLines`. Raises InputError when it cannot be read."""
    import zstandard

    path = Path(path)
    if path.is_dir() or path.name.startswith("part-"):
        start = latest_start(path)
        yield JournalReader(PartLines(start, follow), str(start))
        return
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
        for line in text:
            yield line.rstrip("\n")
    except (zstandard.ZstdError, UnicodeDecodeError) as error:
        raise InputError(Problem(f"cannot read {name}: {error}", hint="is it a journal?")) from error
