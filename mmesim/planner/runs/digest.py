"""What a cell depends on, as one digest: change any of it and the cell is another.

Not seen: a module that a policy's file imports, and an installed package's version.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import mmesim
from mmesim.core.policy import every
from mmesim.packaged import packaged_dir
from mmesim.scenario.references import resolve_policies
from mmesim.scenario.schema import Scenario

UNTOUCHING = ("name", "description", "objective", "checks", "seed", "plan")
"""Settings that no number of a run depends on, and the seed; so are all of `output` but its interval."""
RUNNING = ("core", "dataplane", "policies", "profile", "catalog", "workload", "scenario", "sim", "results",
           "planner/runs", "planner/bounds")
"""Packages whose code makes a cell."""


def digest_of(scenario: Scenario) -> str:
    """Of the resolved scenario without its seed, the files it names, and this program's sources."""
    settings = {name: value for name, value in scenario.resolved().items() if name not in UNTOUCHING}
    settings["output"] = {"interval": settings["output"]["interval"]}
    named = {*_files(settings, scenario.base_dir), *_policies(scenario)}
    files = {str(path): content_digest(path) for path in sorted(named)}
    whole = json.dumps([settings, files, program()], sort_keys=True)
    return sha256(whole.encode()).hexdigest()


def content_digest(path: Path) -> str:
    """Digest of a file as it is now."""
    status = path.stat()
    return _content_at(path, status.st_mtime_ns, status.st_size)


@cache
def _content_at(path: Path, mtime_ns: int, size: int) -> str:
    with path.open("rb") as file:
        digest = sha256()
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def _files(value: Any, folder: Path) -> Iterator[Path]:
    """Every file that the settings name: traces, counts, profiles."""
    if isinstance(value, str):
        if is_file(folder / value):
            yield folder / value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _files(item, folder)
    elif isinstance(value, list):
        for item in value:
            yield from _files(item, folder)


def _policies(scenario: Scenario) -> Iterator[Path]:
    """The files of the user's own policies, those inside of others too."""
    for _, policy in every(resolve_policies(scenario.endpoint, scenario.base_dir)):
        if not type(policy).__module__.startswith("mmesim."):
            yield Path(inspect.getfile(type(policy)))


def is_file(path: Path) -> bool:
    """True when a setting's text names a file that is there."""
    try:
        return path.is_file()
    except OSError:  # no name of a file at all, e.g. too long
        return False


@cache
def program() -> str:
    """Version and sources of what makes a run, and what is shipped with it."""
    root = Path(mmesim.__file__).parent
    files = [path for package in RUNNING for path in sorted((root / package).rglob("*.py"))]
    files += [*sorted(packaged_dir("profiles").glob("*.yaml")), *sorted((root / "catalog").glob("*.csv"))]
    content = sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    return f"{mmesim.__version__} {content}"
