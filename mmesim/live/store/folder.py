"""A local directory as a source: ``*.tar.gz`` files, unpacked from where they are, and plain model folders."""

from __future__ import annotations

import os
import stat
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from mmesim.live.ports import Archive, FetchFailed
from mmesim.live.store.job import Job, Replaced
from mmesim.live.store.names import SUFFIX, Listing, listing
from mmesim.live.store.source import TRAILER_BYTES, Brought
from mmesim.live.store.unpack import Tree, unpack

KINDS = {stat.S_IFREG: tarfile.REGTYPE, stat.S_IFDIR: tarfile.DIRTYPE, stat.S_IFLNK: tarfile.SYMTYPE}


class FolderSource:
    """The models in one directory of this machine."""

    def __init__(self, folder: Path, *, hard_links: bool) -> None:
        self.folder = folder
        self.hard_links = hard_links

    def list(self, job: Job) -> Listing:
        """Archives and folders; an archive goes before a folder of its name, hidden ones are ignored."""
        entries: dict[str, tuple[int, str]] = {}
        ignored = 0
        with _as_failure(), os.scandir(self.folder) as found:
            for entry in sorted(found, key=lambda entry: entry.name.endswith(SUFFIX)):
                job.check()
                is_folder = entry.is_dir(follow_symlinks=False)
                if entry.name.startswith(".") or not (is_folder or entry.name.endswith(SUFFIX)):
                    ignored += 1
                    continue
                with suppress(FileNotFoundError):  # it went while we looked
                    entries[entry.name + SUFFIX * is_folder] = _measure(Path(entry.path))
        return listing(((key, *what) for key, what in entries.items()), ignored)

    def trailer(self, archive: Archive, job: Job) -> bytes:
        """The last bytes of an archive; none of a folder."""
        path = self._path(archive.name)
        if path.is_dir() or archive.size_bytes < TRAILER_BYTES:
            return b""
        with _as_failure(), path.open("rb") as file:
            file.seek(-TRAILER_BYTES, os.SEEK_END)
            return file.read()

    def now(self, name: str, job: Job) -> Archive:
        """As it is now."""
        with _as_failure():
            return Archive(name, *_measure(self._path(name)))

    def bring(self, archive: Archive, work: Path, tree: Tree, job: Job) -> Brought:
        """Unpacks or copies it; what changes meanwhile is brought again."""
        path, start_ns = self._path(archive.name), time.monotonic_ns()
        with _as_failure():
            self._expect(archive)
        if path.is_dir():
            self._copy(path, tree)
        else:
            with _as_failure():
                file = path.open("rb")
            with file:
                unpack(file, tree)
        with _as_failure():
            self._expect(archive)
        job.got(archive.size_bytes)
        return Brought(archive.size_bytes, time.monotonic_ns() - start_ns)

    def close(self) -> None:
        """Nothing is open."""

    def _path(self, name: str) -> Path:
        archive = self.folder / (name + SUFFIX)
        return archive if archive.is_file() else self.folder / name

    def _expect(self, archive: Archive) -> None:
        if _measure(self._path(archive.name))[1] != archive.version:
            raise Replaced

    def _copy(self, path: Path, tree: Tree) -> None:
        for one in _walk(path):
            found = one.lstat()
            member = tarfile.TarInfo(one.relative_to(path).as_posix())
            member.type = KINDS.get(stat.S_IFMT(found.st_mode), tarfile.FIFOTYPE)
            member.mode, member.size = found.st_mode & 0o777, found.st_size
            tree.add(member, partial(self._write, one, member, tree))

    def _write(self, source: Path, member: tarfile.TarInfo, tree: Tree, path: Path) -> int:
        if self.hard_links and source.stat().st_dev == path.parent.stat().st_dev:
            os.link(source, path, follow_symlinks=False)
            return member.size
        with os.fdopen(os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0) as content:
            return tree.copy(content, path, member)


def _walk(folder: Path) -> Iterator[Path]:
    """Everything below, folders before their content, in order; links are not followed."""
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _measure(path: Path) -> tuple[int, str]:
    """Bytes and version: identity, times and sizes of the file, or of everything in the folder."""
    top = path.stat()
    parts = [top, *(one.lstat() for one in _walk(path))] if path.is_dir() else [top]
    newest_ns = max(part.st_mtime_ns for part in parts)
    size_bytes = sum(part.st_size for part in parts if not stat.S_ISDIR(part.st_mode))
    return size_bytes, f"{top.st_ino}-{newest_ns}-{size_bytes}-{len(parts)}"


@contextmanager
def _as_failure() -> Iterator[None]:
    """The source's own trouble; the repository's is told by the store."""
    try:
        yield
    except OSError as error:
        raise FetchFailed(f"the source cannot be read: {error}") from error
