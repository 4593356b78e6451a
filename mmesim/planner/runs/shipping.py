"""A scenario on its way to a worker that has none of this machine's files.

The files that it names (traces, counts, profiles, policies of the user's own) go along, each once, under the digest of
its content; the worker unpacks them into a temporary folder of its own, once, and the scenario names them there. The
numbers are those of a run here, and the cells are stored here under this machine's digest: so a worker with another
mmesim is refused.

Not shipped: modules that a policy's file imports, and installed packages.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import zstandard
from pydantic import BaseModel

from mmesim.errors import InputError, Problem
from mmesim.planner.runs.digest import content_digest, is_file, program
from mmesim.policies.loading import file_of
from mmesim.scenario.schema import Scenario

TEXT = ("name", "description")
"""Settings that are never the name of a file."""
KEPT = 4
"""Commands whose files a worker keeps unpacked."""
_folders: dict[str, TemporaryDirectory[str]] = {}
"""Digest of all content -> where it is, on a worker."""


@dataclass(frozen=True)
class Parcel:
    """A scenario, fit for travel."""

    scenario: Scenario
    """Names files by their places in the content that goes along."""
    content: str
    """Digest of that."""
    origins: Mapping[str, Path]
    """Place -> the file, for messages."""
    program: str
    """Of the sender (:func:`mmesim.planner.runs.digest.program`)."""


def packed(scenarios: Sequence[Scenario]) -> tuple[list[Parcel], bytes]:
    """The scenarios for the way, and the content of all files that they name."""
    origins: dict[str, Path] = {}

    @cache
    def place(text: str, folder: Path) -> str:
        return _place(text, folder, origins)

    named = [_renamed(one, lambda text, folder=one.base_dir: place(text, folder)) for one in scenarios]
    files = {name: path.read_bytes() for name, path in sorted(origins.items())}
    content = zstandard.compress(pickle.dumps(files, protocol=5))
    digest = sha256(content).hexdigest()
    return [Parcel(_based(one, Path()), digest, origins, program()) for one in named], content


def _renamed(value: Any, name: Callable[[str], str]) -> Any:
    """The settings with every text under another name."""
    if isinstance(value, str):
        return name(value)
    if isinstance(value, BaseModel):
        return value.model_copy(update={key: _renamed(item, name) for key, item in value if key not in TEXT})
    if isinstance(value, Mapping):
        return {key: _renamed(item, name) for key, item in value.items()}
    return type(value)(_renamed(item, name) for item in value) if isinstance(value, list | tuple) else value


def _place(text: str, folder: Path, origins: dict[str, Path]) -> str:
    """What stands in the parcel for a text that names a file, or a class in one; every other stays."""
    if is_file(folder / text):
        return _put(folder / text, origins)
    module, _, name = text.rpartition(":")
    path = file_of(module, folder) if module and name.isidentifier() else None
    return text if path is None else f"{_put(path, origins)}:{name}"


def _put(path: Path, origins: dict[str, Path]) -> str:
    place = f"{content_digest(path)[:32]}/{path.name}"
    origins[place] = path
    return place


def _based(scenario: Scenario, folder: Path) -> Scenario:
    """The scenario as if it had been read from a file in the folder."""
    copy = scenario.model_copy()
    copy._source_file = folder / "scenario.yaml"
    return copy


# ---- on the worker


@contextmanager
def unpacked(parcel: Parcel, content: bytes) -> Iterator[Scenario]:
    """The scenario with its files beside it; problems are told of the sender's files. Raises InputError when this is
    another mmesim than the sender's."""
    if parcel.program != program():
        raise InputError(Problem(f"a worker has mmesim {_short(program())}, here is {_short(parcel.program)}",
                                 file="--cluster", hint="install the same on every worker, and start the workers anew"))
    folder = _folder(parcel.content, content)
    try:
        yield _based(parcel.scenario, folder)
    except InputError as error:
        files = {str(folder / place): str(path) for place, path in parcel.origins.items()}
        raise InputError([replace(problem, file=files.get(problem.file, problem.file))
                          for problem in error.problems]) from error


def _short(program_: str) -> str:
    """``0.1.0 (sources 3fa9c1d2)``."""
    version, _, sources = program_.partition(" ")
    return f"{version} (sources {sources[:8]})"


def _folder(digest: str, content: bytes) -> Path:
    """Where the files are; removed with this process, or when others have come since."""
    if digest not in _folders:
        while len(_folders) >= KEPT:
            _folders.pop(next(iter(_folders))).cleanup()
        _folders[digest] = _unpack(content)
    return Path(_folders[digest].name)


def _unpack(content: bytes) -> TemporaryDirectory[str]:
    folder = TemporaryDirectory(prefix="mmesim-files-")
    for place, data in pickle.loads(zstandard.decompress(content)).items():
        path = Path(folder.name, place)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    return folder
