"""A YAML file as plain data that remembers its lines, and the checks that turn it into a settings model.

The door for everything a user writes (scenarios, profiles, catalog rows). Rules it keeps:

* Whatever the bytes are, the answer is a :class:`Document` or one :class:`~mmesim.errors.InputError`; never
  another exception, never seconds of work: size, nesting and the number of values (aliases expanded) are
  limited.
* Plain scalars follow the YAML 1.2 core schema: ``on``, ``no`` and ``12:00`` are text, ``1e3`` is a number.
  Keys are always text. Tags are refused. An alias stands for a copy of its anchor.
* :func:`validate` reports all problems of a document together, in file order.
"""

from __future__ import annotations

import math
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from mmesim.errors import InputError, Problem, alternatives
from mmesim.explain_invalid import explain

MAX_FILE_BYTES = 5_000_000
MAX_VALUES = 50_000
MAX_DEPTH = 40
MAX_PLAIN_CHARACTERS = 64

SettingPath = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

_WRITE_SETTINGS = "write settings as `name: value` lines"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INT = re.compile(r"[+-]?\d{1,18}\Z")
_FLOAT = re.compile(r"[+-]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][+-]?\d+)?\Z")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False,
          ".nan": math.nan, ".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf}


def dotted(path: Sequence[str | int]) -> str:
    """A setting path as it is written in messages and in ``--set``: ``models.0.count``."""
    return ".".join(str(part) for part in path)


@dataclass(frozen=True)
class Document:
    """The content of a settings file: plain dicts, lists and scalars, and where each of them stands."""

    data: Any
    file: str
    places: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Dotted path of each key and element -> (file, 1-based line); line 0 when it is not from a file."""

    def place_of(self, path: str) -> tuple[str, int]:
        """(file, line) of the setting with this dotted path, or of its nearest parent that is written down."""
        while path and path not in self.places:
            path = path.rpartition(".")[0]
        return self.places.get(path, (self.file, 0))

    def line_of(self, path: SettingPath) -> int:
        """1-based line of this setting, or of the nearest written parent; 0 when unknown."""
        return self.place_of(dotted(path))[1]

    def problem(self, path: SettingPath, message: str, hint: str = "") -> Problem:
        """A problem with the setting at `path`."""
        return self.located(Problem(message, path=dotted(path), hint=hint))

    def located(self, problem: Problem) -> Problem:
        """The problem with the file and line of its setting; as it is when it has a file already."""
        if problem.file:
            return problem
        file, line = self.place_of(problem.path)
        return replace(problem, file=file, line=line)


def load_document(path: Path) -> Document:
    """The YAML mapping in the file at `path`. Raises InputError naming the file, the line and what to do."""
    return parse_document(_read_text(path), str(path))


def parse_document(text: str, file: str) -> Document:
    """The YAML mapping in `text`; `file` is its name in messages. Raises InputError."""
    document = _parsed_document(text, file)
    return replace(document, data=deepcopy(document.data), places=dict(document.places))


@lru_cache(maxsize=32)
def _parsed_document(text: str, file: str) -> Document:
    """Thousands of variants of a scenario read the same few files."""
    document = Document(*_Builder(text, file).built())
    if document.data is None:
        raise InputError(Problem("the file is empty", file=file, hint=_WRITE_SETTINGS))
    if not isinstance(document.data, dict):
        raise InputError(Problem(f"the file holds a {_kind(document.data)}, not settings", file=file, line=1,
                                 hint=_WRITE_SETTINGS))
    return document


def parse_value(text: str, file: str) -> Any:
    """The value of one YAML expression such as ``[1, 2]`` or ``90s``. Raises InputError naming `file`."""
    return _Builder(text, file).built()[0]


def validate(model_cls: type[Model], document: Document, *, base_path: Sequence[str | int] = ()) -> Model:
    """`document`, or its part at `base_path`, as a `model_cls`. Raises InputError with all problems."""
    data = document.data
    for part in base_path:
        data = data[part]
    try:
        return model_cls.model_validate(data)
    except ValidationError as error:
        found = [document.problem((*base_path, *path), message, hint)
                 for path, message, hint in explain(error, model_cls, data)]
    raise InputError(in_file_order(found))


def in_file_order(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once, by file and line."""
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line))


# Reading ------------------------------------------------------------------------------------------

def _read_text(path: Path) -> str:
    """The file's text; the size is looked at before anything is read."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(Problem("is a folder", file=str(path), hint="name a file in it"))
        if not stat.S_ISREG(status.st_mode):
            raise InputError(Problem("is not a regular file", file=str(path), hint="save it as a YAML file"))
        if status.st_size > MAX_FILE_BYTES:
            raise InputError(Problem(f"has {status.st_size / 1e6:,.0f} MB; settings files are limited to "
                                     f"{MAX_FILE_BYTES / 1e6:.0f} MB", file=str(path),
                                     hint="request traces belong into CSV or Parquet files: workload.trace"))
        return _decoded(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise InputError(missing_file(path)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(Problem(f"cannot be read: {reason}", file=str(path))) from None


def missing_file(path: Path) -> Problem:
    """The problem of a file that does not exist, with the nearest names beside it."""
    folder = path.parent
    if not folder.is_dir():
        return Problem("no such file", file=str(path), hint=f"there is no folder {folder} either")
    names = [entry.name for entry in sorted(folder.iterdir())[:1000] if entry.suffix == path.suffix]
    there = alternatives(path.name, names) if names else f"no *{path.suffix} file"
    return Problem("no such file", file=str(path), hint=f"in {folder}: {there}")


def _decoded(raw: bytes, file: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text: byte 0x{raw[error.start]:02x} at offset {error.start}"
        raise InputError(Problem(message, file=file, line=raw.count(b"\n", 0, error.start) + 1,
                                 hint="save it as UTF-8 text; is it a binary file?")) from None


# Parsing ------------------------------------------------------------------------------------------

class _Builder:
    """Builds plain data from YAML's events. First pass: syntax, nesting, anchors. Second pass: values."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._values = 0
        self._places: dict[str, tuple[str, int]] = {}
        self._anchored: dict[int, int] = {}
        """Index of an alias event -> index of the event its anchor stands on."""
        self._refuse_unprintable(text)
        self._events = list(self._scan(text))

    def built(self) -> tuple[Any, str, dict[str, tuple[str, int]]]:
        """Fields of a Document."""
        first = next((i for i, event in enumerate(self._events) if isinstance(event, yaml.NodeEvent)), None)
        data = None if first is None else self._build(first, ())[0]
        return data, self._file, self._places

    def _refuse(self, line: int, message: str, hint: str) -> InputError:
        return InputError(Problem(message, file=self._file, line=line, hint=hint))

    def _refuse_unprintable(self, text: str) -> None:
        if bad := _UNPRINTABLE.search(text):
            line = text.count("\n", 0, bad.start()) + 1
            raise self._refuse(line, f"holds the unprintable character U+{ord(bad[0]):04X}",
                               "settings are plain text; is this a binary file?")

    def _scan(self, text: str) -> Iterator[yaml.Event]:
        """All events; syntax, nesting depth, cyclic aliases and a second document are refused here."""
        anchors: dict[str, int] = {}
        open_nodes: list[int] = []
        documents = 0
        for index, event in enumerate(self._parsed(text)):
            documents += isinstance(event, yaml.DocumentStartEvent)
            if documents > 1:
                raise self._refuse(_line(event), "a second document starts here",
                                   "keep one document in a file: remove the `---`")
            if isinstance(event, yaml.AliasEvent):
                self._anchored[index] = self._anchor(event, anchors, open_nodes)
            elif isinstance(event, yaml.NodeEvent) and event.anchor:
                anchors[event.anchor] = index
            if isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append(index)
                self._limit_depth(len(open_nodes), event)
            elif isinstance(event, yaml.CollectionEndEvent):
                open_nodes.pop()
            yield event

    def _parsed(self, text: str) -> Iterator[yaml.Event]:
        try:
            for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
                if count > 2 * MAX_VALUES:
                    raise self._too_many(event)
                yield event
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 0
            what = ", ".join(part for part in (error.context, error.problem) if part)
            raise self._refuse(line, f"is not YAML: {what}", _syntax_hint(text, line)) from None
        except yaml.YAMLError as error:
            raise self._refuse(0, f"is not YAML: {error}", "save the file as UTF-8 text") from None

    def _anchor(self, alias: yaml.AliasEvent, anchors: dict[str, int], open_nodes: list[int]) -> int:
        target = anchors.get(str(alias.anchor))
        if target is None:
            raise self._refuse(_line(alias), f"*{alias.anchor} has no anchor before it",
                               alternatives(str(alias.anchor), anchors) + "; text that starts with * needs quotes")
        if target in open_nodes:
            raise self._refuse(_line(alias), f"*{alias.anchor} stands inside its own anchor &{alias.anchor}",
                               "a setting cannot contain itself: write it out")
        return target

    def _limit_depth(self, depth: int, event: yaml.Event) -> None:
        if depth > MAX_DEPTH:
            raise self._refuse(_line(event), f"is nested more than {MAX_DEPTH} levels deep",
                               "no setting lies that deep: is a bracket too many?")

    def _too_many(self, event: yaml.Event) -> InputError:
        return self._refuse(_line(event), f"holds more than {MAX_VALUES:,} values (aliases expanded)",
                            "use count: for many models, and workload.trace for many requests")

    def _build(self, index: int, path: SettingPath) -> tuple[Any, int]:
        """The value that starts at event `index`, and the index after it."""
        event = self._events[index]
        self._values += 1
        if self._values > MAX_VALUES:
            raise self._too_many(event)
        self._limit_depth(len(path), event)
        if isinstance(event, yaml.AliasEvent):
            return self._build(self._anchored[index], path)[0], index + 1
        if event.tag not in (None, "!"):
            raise self._refuse(_line(event), f"the tag {event.tag} is not known", "leave it out")
        if isinstance(event, yaml.ScalarEvent):
            return (_plain(event.value) if event.implicit[0] else event.value), index + 1
        build = self._build_mapping if isinstance(event, yaml.MappingStartEvent) else self._build_list
        return build(index, path)

    def _build_list(self, index: int, path: SettingPath) -> tuple[list[Any], int]:
        values: list[Any] = []
        index += 1
        while not isinstance(event := self._events[index], yaml.SequenceEndEvent):
            here = (*path, len(values))
            self._places[dotted(here)] = (self._file, _line(event))
            value, index = self._build(index, here)
            values.append(value)
        return values, index + 1

    def _build_mapping(self, index: int, path: SettingPath) -> tuple[dict[str, Any], int]:
        values: dict[str, Any] = {}
        index += 1
        while not isinstance(event := self._events[index], yaml.MappingEndEvent):
            here = (*path, self._key(event))
            if here[-1] in values:
                first = self._places[dotted(here)][1]
                raise self._refuse(_line(event), f"{dotted(here)} is written twice, first in line {first}",
                                   "keep one of the two")
            self._places[dotted(here)] = (self._file, _line(event))
            values[str(here[-1])], index = self._build(index + 1, here)
        return values, index + 1

    def _key(self, event: yaml.Event) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._refuse(_line(event), "a list, mapping or alias stands where a setting's name should",
                               "names are plain text; text with { [ * needs quotes")
        return str(event.value)


def _line(event: yaml.Event) -> int:
    return int(event.start_mark.line) + 1


def _plain(text: str) -> Any:
    """An unquoted scalar by the YAML 1.2 core schema (decimal numbers only)."""
    if len(text) > MAX_PLAIN_CHARACTERS:
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INT.match(text):
        return int(text)
    return float(text) if _FLOAT.match(text) else text


def _kind(value: object) -> str:
    return "list" if isinstance(value, list) else "single value"


def _syntax_hint(text: str, line: int) -> str:
    written = text.splitlines()[line - 1:line]
    if written and "\t" in written[0]:
        return f"line {line} holds a tab: indent with spaces"
    return f"look at line {line} and the one before it: a missing colon, quote, bracket or wrong indentation"
