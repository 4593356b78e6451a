"""One fetch on its way: progress that others may read, a stop that its threads obey, and the room the disk has left."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mmesim.live.ports import FetchFailed


class Stopped(FetchFailed):
    """It was stopped from outside."""


class Replaced(Exception):
    """The archive is no longer the one that was listed."""


@dataclass(slots=True, eq=False)
class Job:
    """One fetch, or another errand to the source; used by several threads."""

    name: str = ""
    total_bytes: int = 0
    """Of the archive."""
    downloaded_bytes: int = 0
    retries: int = 0
    """Requests that failed and were tried again."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _ended: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def end(self) -> None:
        """Its threads are to clean up and return, soon and for good."""
        with self._lock:
            self._ended = True
            self._stop.set()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Around what several threads do: when one fails here, the others are to return. To stand inside the `with`
        that waits for them."""
        try:
            yield
        except BaseException:
            self._stop.set()
            raise

    def anew(self) -> None:
        """All its threads have returned; another attempt begins, unless the whole is to end."""
        with self._lock:
            if not self._ended:
                self._stop.clear()

    def check(self) -> None:
        """Raises Stopped when it is to end."""
        if self._stop.is_set():
            raise Stopped(f"{self.name or 'the errand'}: stopped")

    def wait(self, pause_s: float) -> None:
        """Pauses; raises Stopped as soon as it is to end."""
        self._stop.wait(pause_s)
        self.check()

    def got(self, count_bytes: int) -> None:
        """Bytes have come."""
        with self._lock:
            self.downloaded_bytes += count_bytes

    def tried_again(self) -> None:
        """A request failed and is tried again."""
        with self._lock:
            self.retries += 1


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system that holds `folder`, of which `min_free_bytes` are not ours."""

    folder: Path
    min_free_bytes: int

    def need(self, count_bytes: int) -> None:
        """Raises FetchFailed when that many bytes would eat into the reserve."""
        stat = os.statvfs(self.folder)
        free_bytes = stat.f_bavail * stat.f_frsize
        if free_bytes - count_bytes < self.min_free_bytes:
            raise FetchFailed(f"disk full: {count_bytes} bytes are needed, {free_bytes} are free, "
                              f"{self.min_free_bytes} of them kept in reserve")
