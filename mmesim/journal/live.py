"""Writes the journal of a live endpoint: cheap for the event loop, readable after a crash, bounded on the disk.

The loop makes a line of what happens and puts it in a queue; one thread compresses and writes. It takes few lines at a
time, so that the loop never waits long for the interpreter, and lets go of it while it compresses. What is older than
`flush_s` has been given to the operating system as whole blocks: it survives a killed process (not a power cut, but for
parts that are full: those are synced). When the disk is full or fails, the endpoint goes on without a journal.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mmesim import __version__
from mmesim.core.actions import Action
from mmesim.core.decisions import Decision
from mmesim.core.events import Event
from mmesim.core.types import ModelSpec
from mmesim.journal.parts import PART, starts
from mmesim.journal.text import END, SCHEMA, Lines
from mmesim.units import format_bytes

if TYPE_CHECKING:
    import zstandard

LOG = logging.getLogger("mmesim.journal")
LEVEL = 3
CHUNK_LINES = 256
"""Lines joined at a time: some 20 µs during which the interpreter is held."""
WAKE_S = 0.1
BACKLOG_LINES = 2_000_000
"""Lines that wait for the disk at most (some 200 MB)."""


class Described(Protocol):
    """What an endpoint is made of (:class:`mmesim.live.setup.Setup`)."""

    @property
    def seed(self) -> int: ...
    @property
    def models(self) -> Sequence[ModelSpec]: ...
    def to_json(self) -> dict[str, Any]: ...


class LiveJournal(Lines):
    """A sink of :class:`mmesim.live.machine.Machine`; each one makes a folder of its own in `folder`."""

    def __init__(self, folder: Path, setup: Described, *, rotate_bytes: int = 64 << 20, keep_bytes: int = 4 << 30,
                 flush_s: float = 1.0, started_unix_ns: int | None = None,
                 say: Callable[[str], None] = LOG.error) -> None:
        """`started_unix_ns`: the wall clock at `now_ns` 0. `keep_bytes`: above it whole older starts are deleted, the
        oldest first. `say` is told once when journaling has to stop, from any thread."""
        self._lines: deque[str] = deque()
        super().__init__(self._lines.append)
        self.lines = 0
        """Lines written."""
        self.stopped = ""
        """Why nothing is journaled any more; empty: all is well."""
        self._keep_bytes = keep_bytes
        self._say = say
        self._ending = threading.Event()
        self._parts: _Parts | None = None
        started_ns = time.time_ns() if started_unix_ns is None else started_unix_ns
        try:
            self.folder = _new_start(folder, started_ns)
            self._parts = _Parts(self.folder, rotate_bytes, flush_s, self._rotated)
            self._parts.write(json.dumps(_header(setup, started_ns), allow_nan=False))
            self._parts.flush()
            self._rotated()
        except OSError as error:
            self._stop(error)
        self._thread = threading.Thread(target=self._work, args=[self._parts], name="journal", daemon=True)
        self._thread.start()

    @property
    def written_bytes(self) -> int:
        """Compressed bytes written."""
        return self._parts.written_bytes if self._parts else 0

    def step(self, now_ns: int, event: Event, actions: tuple[Action, ...],
             decisions: tuple[Decision, ...] = ()) -> None:
        """A step of the controller."""
        if len(self._lines) > BACKLOG_LINES:
            self._stop(OSError(0, "the disk does not keep up"))
        super().step(now_ns, event, actions, decisions)

    def close(self) -> None:
        """Write what is left; blocks until it is synced."""
        self._ending.set()
        self._thread.join()

    def _work(self, parts: _Parts) -> None:
        """The thread."""
        try:
            while not self.stopped and not self._ending.wait(WAKE_S):
                self._drain(parts)
            if not self.stopped:
                self._drain(parts)
                parts.write(f"{END}{self.lines}}}")
                parts.close()
        except OSError as error:
            self._stop(error)
        self._lines.clear()

    def _drain(self, parts: _Parts) -> None:
        lines = self._lines
        while not self.stopped and (n := min(len(lines), CHUNK_LINES)):
            parts.write("\n".join([lines.popleft() for _ in range(n)]))
            self.lines += n
        parts.flush_if_due()

    def _rotated(self) -> None:
        """Delete the oldest starts while there is too much."""
        known = {start: _size_bytes(start) for start in starts(self.folder.parent)}
        excess = sum(known.values()) - self._keep_bytes
        for start, size_bytes in known.items():
            if excess <= 0 or start == self.folder:
                break
            shutil.rmtree(start)
            excess -= size_bytes

    def _stop(self, error: OSError) -> None:
        """No journal from now on; requests go on."""
        if not self.stopped:
            self.stopped = error.strerror or str(error)
            self.put = _nothing
            self._say(f"JOURNALING STOPPED after {self.lines:,} lines, "
                      f"{format_bytes(self.written_bytes)}: {self.stopped};"
                      " requests are served without a journal until the next start")


def _nothing(line: str) -> None:
    """In place of a queue that nobody empties."""


class _Parts:
    """Compressed files that follow one another."""

    def __init__(self, folder: Path, rotate_bytes: int, flush_s: float, rotated: Callable[[], None]) -> None:
        self.written_bytes = 0
        self._folder = folder
        self._rotate_bytes = rotate_bytes
        self._flush_s = flush_s
        self._rotated = rotated
        self._number = 0
        self._open()

    def _open(self) -> None:
        import zstandard

        self._number += 1
        self._part_bytes = 0
        self._dirty = False
        self._flushed_s = time.monotonic()
        self._file = os.open(self._folder / PART.format(self._number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        self._frame: zstandard.ZstdCompressionObj = zstandard.ZstdCompressor(level=LEVEL).compressobj()

    def write(self, lines: str) -> None:
        """Lines, the newline of the last one wanting. Raises OSError."""
        self._put(self._frame.compress(f"{lines}\n".encode()))
        self._dirty = True
        if self._part_bytes >= self._rotate_bytes:
            self.close()
            self._open()
            self._rotated()

    def flush_if_due(self) -> None:
        """What was written can be read, every `flush_s`."""
        if self._dirty and time.monotonic() - self._flushed_s >= self._flush_s:
            self.flush()

    def flush(self) -> None:
        """What was written can be read."""
        import zstandard

        self._put(self._frame.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
        self._dirty, self._flushed_s = False, time.monotonic()

    def close(self) -> None:
        """The part is complete and on the disk."""
        self._put(self._frame.flush())
        os.fsync(self._file)
        os.close(self._file)

    def _put(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._file, rest):]
        self.written_bytes += len(data)
        self._part_bytes += len(data)


def _new_start(folder: Path, started_ns: int) -> Path:
    """A folder that was not there."""
    stamp, n = datetime.fromtimestamp(started_ns / 1e9, UTC).strftime("%Y%m%dT%H%M%SZ"), 1
    while True:
        try:
            (folder / f"{stamp}-{n}").mkdir(parents=True)
            return folder / f"{stamp}-{n}"
        except FileExistsError:
            n += 1


def _size_bytes(start: Path) -> int:
    return sum(path.stat().st_size for path in start.iterdir())


def _header(setup: Described, started_ns: int) -> Mapping[str, Any]:
    """What the endpoint is made of: enough to build its machine again. Names and reload times of models that are
    described later stand in their events."""
    return {"journal": SCHEMA, "mmesim": __version__, "seed": setup.seed,
            "started": {"iso": datetime.fromtimestamp(started_ns / 1e9, UTC).isoformat(), "unix_ns": started_ns},
            "models": [model.name for model in setup.models],
            "reload_s": [[model.reload_disk_s, model.reload_s3_s] for model in setup.models], "live": setup.to_json()}
