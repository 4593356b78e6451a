"""Processes that are started and always ended, and what a tree of processes takes of memory and CPU (Linux /proc).

Model Analyzer starts its server and its load generator in sessions of their own, so that neither a process group nor
the tree finds them once their parent has died. Every process started here therefore carries a mark in its environment,
which its children inherit: ending a mark ends them all, wherever they hang.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "MMESIM_STARTED_BY"
GRACE_S = 10.0
DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()
"""Even when this program is killed, what it started gets a SIGTERM (setpriv is part of util-linux)."""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@contextmanager
def started(command: Sequence[str | Path], mark: str, log: Path, env: Mapping[str, str] | None = None,
            cwd: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """The running process, its output going to `log`; at the end it and all its children are ended."""
    with log.open("ab") as output:
        process = subprocess.Popen([*DIE_WITH_PARENT, *map(str, command)], stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=output, env={**os.environ, **(env or {}), MARK: mark}, cwd=cwd,
                                   start_new_session=True)
        try:
            yield process
        finally:
            end_marked(mark)
            process.wait()


def end_marked(mark: str, grace_s: float = GRACE_S) -> None:
    """Ends every process with this mark: SIGTERM, and SIGKILL for those that are still there after the grace time."""
    for sign, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, grace_s)):
        for pid in marked(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, sign)
        deadline = time.monotonic() + wait_s
        while marked(mark) and time.monotonic() < deadline:
            time.sleep(0.02)


def marked(mark: str) -> list[int]:
    """Ids of the living processes that carry this mark, but for this one."""
    wanted = f"{MARK}={mark}".encode()
    return [pid for pid in _pids() if pid != os.getpid() and wanted in _bytes(pid, "environ").split(b"\0")]


def tree(pid: int) -> list[int]:
    """`pid` and all its descendants."""
    children: dict[int, list[int]] = {}
    for child in _pids():
        children.setdefault(_parent(child), []).append(child)
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


@dataclass(frozen=True)
class Usage:
    """What a tree of processes takes."""

    rss_bytes: int
    """Resident memory; pages that several of them share count for each."""
    pss_bytes: int
    """Proportional memory: shared pages are divided among those who share them."""
    cpu_s: float
    """CPU time so far, user and system, of those that are alive."""


def usage(pid: int) -> Usage:
    """What `pid` and its descendants take now."""
    pids = tree(pid)
    rollups = [_bytes(one, "smaps_rollup").decode() for one in pids]
    return Usage(sum(_rollup_bytes(text, "Rss") for text in rollups),
                 sum(_rollup_bytes(text, "Pss") for text in rollups), sum(map(_cpu_s, pids)))


def _rollup_bytes(text: str, field: str) -> int:
    return next((1024 * int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{field}:")), 0)


def _cpu_s(pid: int) -> float:
    fields = _bytes(pid, "stat").rpartition(b")")[2].split()
    return sum(map(int, fields[11:13])) / _TICKS_PER_S if fields else 0.0


def _parent(pid: int) -> int:
    fields = _bytes(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _bytes(pid: int, name: str) -> bytes:
    """A file of /proc; empty when the process has gone or is another's."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""

