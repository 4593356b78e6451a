"""Unpacks a tar.gz of unknown origin into a folder of its own, or refuses it.

The archive is read once, as a stream. tarfile reads the headers and its `data` filter (PEP 706) gives a second opinion;
files and folders are made here, not by tarfile. The rules are plain enough to be complete:

- only regular files and folders: no links of either kind, no devices, pipes or sparse files, so that no member can be
  written through another one;
- a path is relative and made of UTF-8 names other than ``..`` without control characters or backslashes; no two members
  share one, not even when case and Unicode composition are ignored;
- files are new (O_EXCL), 0644 or 0755; owners, set-user bits and times are not taken over;
- bytes, members, depth, and the size of extended headers, which tarfile holds in memory, are limited, and the disk's
  reserve is checked before each member and in the course of long ones;
- the archive ends with its end mark and the gzip stream with its checksum: one cut off between two members is damaged.
"""

from __future__ import annotations

import os
import tarfile
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from mmesim.live.ports import FetchFailed
from mmesim.live.store.job import Disk, Job
from mmesim.live.store.settings import UnpackSettings
from mmesim.live.store.unzip import Unzipped

CHUNK_BYTES = 1 << 20
CHECK_BYTES = 64 << 20
"""So much is written between two looks at the disk's free space."""
OVERHEAD_BYTES = 64 << 20
"""What headers, padding and the end of the stream may take besides the files."""
MAX_EXTENDED_BYTES = 64 << 10
MAX_NAME_BYTES = 255
EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
            tarfile.GNUTYPE_LONGLINK)
DAMAGE = (tarfile.TarError, zlib.error, EOFError, ValueError, OverflowError, RecursionError)
"""What tarfile and zlib raise over damaged input; RecursionError over extended headers of extended headers."""
DEREFERENCE = "pack with tar --dereference --hard-dereference"


class _Header(tarfile.TarInfo):
    """A header that is refused where tarfile would quietly end the archive, or take in what may be huge."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        """The header in this block. Raises ReadError, FetchFailed."""
        if not buf:
            raise tarfile.ReadError("the tar has no end mark")
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error
        if header.type == tarfile.GNUTYPE_SPARSE:
            raise FetchFailed(f"{header.name!r} is a sparse file; pack without --sparse")
        if header.size < 0 or (header.type in EXTENDED and header.size > MAX_EXTENDED_BYTES):
            raise tarfile.ReadError(f"an extended header of {header.size} bytes")
        return header


@dataclass(slots=True)
class Tree:
    """A folder that grows member by member, by the rules above."""

    folder: Path
    settings: UnpackSettings
    limit_bytes: int
    disk: Disk
    job: Job
    size_bytes: int = 0
    """Of the files so far."""
    _members: int = 0
    _claimed: dict[str, tuple[str, bool]] = field(default_factory=lambda: {".": (".", False)})
    """Path without regard to case and composition -> as it was first written, and whether it is a file."""

    def add(self, member: tarfile.TarInfo, write: Callable[[Path], int]) -> None:
        """Makes the folder, or the file by `write`, which tells its bytes. Raises FetchFailed."""
        self._members += 1
        if self._members > self.settings.max_members:
            raise FetchFailed(f"has more than {self.settings.max_members} members")
        if why := _unwanted(member) or unsafe(member.name, self.settings):
            raise FetchFailed(f"{member.name!r} {why}")
        _second_opinion(member, self.folder)
        self._claim(PurePosixPath(member.name), is_file=member.isreg())
        path = self.folder / member.name
        (path if member.isdir() else path.parent).mkdir(parents=True, exist_ok=True)
        if member.isreg():
            self._make_room(member.size)
            self.size_bytes += write(path)

    def _claim(self, path: PurePosixPath, *, is_file: bool) -> None:
        """Each file once, and each name in one spelling and of one kind: the path and the folders above it."""
        for one in (*reversed(path.parents), path):
            mine = (str(one), is_file and one is path)
            folded = unicodedata.normalize("NFC", mine[0]).casefold()
            first = self._claimed.get(folded)
            if first and (first != mine or first[1]):
                raise FetchFailed(f"{mine[0]!r} collides with {first[0]!r}")
            self._claimed[folded] = mine

    def _make_room(self, count_bytes: int) -> None:
        if self.size_bytes + count_bytes > self.limit_bytes:
            raise FetchFailed(f"unpacks to more than its limit of {self.limit_bytes} bytes")
        self.disk.need(count_bytes)

    def copy(self, content: IO[bytes], path: Path, member: tarfile.TarInfo) -> int:
        """Writes a new file of exactly the member's size, with an eye on the disk; its bytes."""
        done_bytes, next_check = 0, CHECK_BYTES
        with new_file(path, runnable=bool(member.mode & 0o100)) as file:
            while chunk := content.read(CHUNK_BYTES):
                self.job.check()
                write_all(file, chunk)
                done_bytes += len(chunk)
                if done_bytes >= next_check:
                    self.disk.need(0)
                    next_check += CHECK_BYTES
                if done_bytes > member.size:
                    break
        if done_bytes != member.size:
            raise FetchFailed(f"{member.name!r} changed while it was copied")
        return done_bytes


def _unwanted(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return f"is a link; {DEREFERENCE}"
    if member.size < 0:
        return "has a negative size"
    plain = member.isdir() or (member.isreg() and not member.issparse())
    return "" if plain else "is neither a plain file nor a folder"


def unsafe(name: str, settings: UnpackSettings) -> str:
    """Why this path must not be written; empty when it may."""
    parts = PurePosixPath(name).parts
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    if name.startswith("/") or ".." in parts:
        return "leaves the folder"
    if "\\" in name or any(unicodedata.category(one) == "Cc" for one in name):
        return "has a backslash or a control character in it"
    if len(encoded) > settings.max_path or any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        return "is too long"
    return "is too deep" if len(parts) > settings.max_depth else ""


def _second_opinion(member: tarfile.TarInfo, folder: Path) -> None:
    if hasattr(tarfile, "data_filter"):  # from Python 3.11.4 on
        tarfile.data_filter(member, str(folder))


@contextmanager
def new_file(path: Path, *, runnable: bool = False) -> Iterator[FileIO]:
    """A file that was not there before, and is no link; unbuffered."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with FileIO(os.open(path, flags, 0o755 if runnable else 0o644), "w") as file:
        yield file


def write_all(file: FileIO, content: bytes) -> None:
    """Writes all of it; the system may take less at a time."""
    view = memoryview(content)
    while view:
        view = view[file.write(view):]


def unpack(archive: BinaryIO, tree: Tree) -> None:
    """Unpacks into the tree, whose folder is empty and nobody else's. Raises FetchFailed, OSError, after which the
    folder holds what came before the fault."""
    stream = Unzipped(archive, tree.limit_bytes + OVERHEAD_BYTES, tree.job)
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK_BYTES, tarinfo=_Header) as tar:  # type: ignore[call-overload]
            for member in tar:
                tree.add(member, partial(_write, tar, member, tree))
                tar.members.clear()  # tarfile keeps every header
        while stream.read(CHUNK_BYTES):  # on to the checksum
            pass
    except DAMAGE as error:
        raise FetchFailed(f"damaged archive: {error or type(error).__name__}") from error


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, tree: Tree, path: Path) -> int:
    content = tar.extractfile(member)
    assert content is not None, "a regular file has content"
    return tree.copy(content, path, member)
