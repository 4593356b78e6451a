"""What the store asks of a source. All of it blocks and is called in threads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mmesim.live.ports import Archive
from mmesim.live.store.job import Job
from mmesim.live.store.names import Listing
from mmesim.live.store.unpack import Tree

TRAILER_BYTES = 4
MAX_RATIO = 1032
"""No deflate stream expands more (zlib.net, "Technical Details")."""
TAR_BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True)
class Brought:
    """An archive that is a tree of files now."""

    downloaded_bytes: int
    unpack_ns: int


class Source(Protocol):
    """Where the archives are."""

    def list(self, job: Job) -> Listing:
        """What is there now. Raises FetchFailed."""

    def trailer(self, archive: Archive, job: Job) -> bytes:
        """The last four bytes of the archive; empty: it is a plain folder, as large as its files. Raises FetchFailed,
        Replaced."""

    def now(self, name: str, job: Job) -> Archive:
        """The archive of this name as it is now. Raises FetchFailed."""

    def bring(self, archive: Archive, work: Path, tree: Tree, job: Job) -> Brought:
        """Fetches it, with temporary files in `work`, and fills the tree. Raises FetchFailed, OSError, Replaced."""

    def close(self) -> None:
        """Lets go of connections."""


def unpacked_bytes(size_bytes: int, trailer: bytes, expansion: float) -> int:
    """What a tar.gz of that size unpacks to by the last field of its trailer (RFC 1952: ISIZE, the length modulo
    2^32, of the last member), where that is plausible for one tar in one member; else size × `expansion`.

    The smallest length that is not below the archive's is taken: a model of more than 4 GiB that compresses to less
    than half is taken for smaller than it is.
    """
    length = int.from_bytes(trailer, "little")
    length += -(-max(0, size_bytes - length) // 2**32) * 2**32
    if len(trailer) == TRAILER_BYTES and length % TAR_BLOCK_BYTES == 0 and 0 < length <= size_bytes * MAX_RATIO:
        return length
    return round(size_bytes * expansion)
