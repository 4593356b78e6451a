"""Puts a model's files out of the page cache, without being root, and looks whether they are out (Linux).

posix_fadvise(DONTNEED) drops clean pages that nobody has mapped; mincore tells what stayed. Only the model's own
files are dropped: the framework's libraries stay warm, as they are on an endpoint that has loaded before. A tmpfs has
no other place for its pages, so nothing is dropped there.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable
from pathlib import Path

METHOD = "posix_fadvise(DONTNEED) on the model's files"
_libc = ctypes.CDLL(None, use_errno=True)


def drop(files: Iterable[Path]) -> float:
    """Drops the pages of these files; gives the fraction that is still in memory afterwards."""
    paths = list(files)
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # dirty pages are not dropped
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    return resident(paths)


def resident(files: Iterable[Path]) -> float:
    """The fraction of these files' pages that is in the page cache."""
    pages = [_resident_pages(path) for path in files if path.stat().st_size]
    total = sum(count for _, count in pages)
    return sum(here for here, _ in pages) / total if total else 0.0


def _resident_pages(path: Path) -> tuple[int, int]:
    """(pages in memory, pages) of a file."""
    size = path.stat().st_size
    count = -(-size // mmap.PAGESIZE)
    flags = (ctypes.c_ubyte * count)()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with mmap.mmap(descriptor, size, prot=mmap.PROT_READ | mmap.PROT_WRITE, flags=mmap.MAP_PRIVATE) as pages:
            start = ctypes.c_char.from_buffer(pages)
            failed = _libc.mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(size), flags)
            del start
    finally:
        os.close(descriptor)
    if failed:
        raise OSError(ctypes.get_errno(), "mincore", str(path))
    return sum(flag & 1 for flag in flags), count
