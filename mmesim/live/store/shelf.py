"""A model repository on the disk: folders appear whole, vanish at once, and are known by their manifests.

Triton lists every folder of its repository, hidden ones too, so what is not whole is kept beside it, on the same file
system; the manifest is inside the model's folder, where Triton overlooks it, so that the two come and go together:

    models/resnet/config.pbtxt, 1/…        the model, as Triton sees it
    models/resnet/.mmesim.json             its manifest: model, version, bytes
    .mmesim/models/unfinished/…            what is being fetched or deleted
    .mmesim/models/lock                    held by the one process that changes this repository

A fetch ends, and a delete begins, with one rename. After a crash at any moment, what is in `unfinished` is nobody's and
goes. A folder without a manifest was put there by somebody else, and is left alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mmesim.live.ports import FetchFailed

ROOM = ".mmesim"
MANIFEST = ".mmesim.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is known of a model's folder."""

    model: str
    version: str
    """Of the archive it comes from."""
    archive_bytes: int
    disk_bytes: int
    fetched_s: float = field(default_factory=time.time)
    """Seconds since 1970."""


class Shelf:
    """One repository, which this process alone changes."""

    def __init__(self, repository: Path, *, fsync: bool) -> None:
        """Raises FetchFailed when another process has it, or the room beside it is on another file system; OSError."""
        self.repository = repository.absolute()
        self.fsync = fsync
        self._room = self.repository.parent / ROOM / self.repository.name
        self._work = self._room / "unfinished"
        self._busy: set[Path] = set()
        self._known: dict[str, tuple[int, Manifest]] = {}
        """Folder -> inode and manifest when it was last read."""
        self._switch = threading.Lock()
        """Held while a folder's place changes hands."""
        for folder in (self.repository, self._work):
            folder.mkdir(parents=True, exist_ok=True)
        if self._work.stat().st_dev != self.repository.stat().st_dev:
            raise FetchFailed(f"{self.repository} is a file system of its own, and {self._room} on another; "
                              "let the repository be a folder inside the file system")
        self._lock = _locked(self._room / "lock", self.repository)

    def close(self) -> None:
        """Lets another process have it."""
        os.close(self._lock)

    @contextmanager
    def work(self) -> Iterator[Path]:
        """An empty folder of one's own on the repository's file system; removed at the end with all that is in it."""
        with self._switch:
            folder = Path(tempfile.mkdtemp(dir=self._work))
            self._busy.add(folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            self._busy.discard(folder)

    def publish(self, folder: Path, manifest: Manifest, work: Path) -> None:
        """Puts the folder in the model's place; what of ours was there goes to `work`. Raises FetchFailed, OSError."""
        place = self.repository / manifest.model
        with suppress(FileNotFoundError):  # one that came with the archive
            (folder / MANIFEST).unlink()
        (folder / MANIFEST).write_text(json.dumps(asdict(manifest)), encoding="utf-8")
        if self.fsync:
            _sync(folder)
        with self._switch:
            if os.path.lexists(place) and not self._take_away(manifest.model, work):
                raise FetchFailed(f"{place} was put there by somebody else")
            folder.rename(place)
            self._known.pop(manifest.model, None)
        self._sync_places()

    def delete(self, model: str) -> bool:
        """Takes the model away, if it is ours; whether it was. Raises OSError."""
        with self.work() as work:
            with self._switch:
                ours = self._take_away(model, work)
            self._sync_places()
        return ours

    def held(self) -> dict[str, Manifest]:
        """Whole models; what a crash left is removed."""
        with self._switch:
            left = [path for path in self._work.iterdir() if path not in self._busy]
            self._known = {entry.name: found for entry in self._folders() if (found := self._look(entry))}
            held = {model: manifest for model, (_, manifest) in self._known.items()}
        for path in left:
            shutil.rmtree(path, ignore_errors=True)
        return held

    def strangers(self) -> tuple[str, ...]:
        """What somebody else put into the repository."""
        return tuple(entry.name for entry in self._folders() if not self._manifest(entry.name))

    def _folders(self) -> list[os.DirEntry[str]]:
        with os.scandir(self.repository) as entries:
            return sorted(entries, key=lambda entry: entry.name)

    def _look(self, entry: os.DirEntry[str]) -> tuple[int, Manifest] | None:
        """The manifest, read only where another folder stands than last time: thousands are looked at regularly."""
        known = self._known.get(entry.name)
        if known and known[0] == entry.inode():
            return known
        manifest = self._manifest(entry.name)
        return (entry.inode(), manifest) if manifest else None

    def _take_away(self, model: str, work: Path) -> bool:
        if not self._manifest(model):
            return False
        self._known.pop(model, None)
        (self.repository / model).rename(Path(tempfile.mkdtemp(dir=work)) / model)
        return True

    def _manifest(self, model: str) -> Manifest | None:
        """None: there is no such folder, or it is not ours."""
        folder = self.repository / model
        try:
            manifest = Manifest(**json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return manifest if manifest.model == model and not folder.is_symlink() else None

    def _sync_places(self) -> None:
        if self.fsync:
            _sync_one(self.repository)


def _locked(path: Path, repository: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise FetchFailed(f"{repository} is in use by another mmesim") from error
    return descriptor


def _sync(folder: Path) -> None:
    """Waits until everything in the folder is on the disk."""
    for path, _, files in os.walk(folder):
        for name in (*files, "."):
            _sync_one(Path(path, name))


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
