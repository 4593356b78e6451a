"""Processes that are started and always ended, and what a tree of processes takes of memory and CPU (Linux /proc).

Model Analyzer starts its server and its load generator in sessions of their own, so that neither a process group nor
the tree finds them once their parent has died. Every process started here therefore carries a mark in its environment,
which its children inherit: ending a mark ends them all, wherever they hang. A mark ``a/b`` belongs to the mark ``a``.

Run as a program with a mark and a prefix of shared memory (see `guarded`), this module waits until its standard input
ends and then ends the mark: however its parent died, nothing that was marked outlives it. It needs nothing but Python.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "MMESIM_STARTED_BY"
GRACE_S = 10.0
GUARD_GRACE_S = 3.0
"""Nobody waits for what has outlived its parent."""
DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()
"""Even when this program is killed, what it started gets a SIGTERM (setpriv is part of util-linux)."""
SHARED_MEMORY = Path("/dev/shm")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def launch(command: Sequence[str | Path], mark: str, log: Path, env: Mapping[str, str] | None = None,
           cwd: Path | None = None) -> subprocess.Popen[bytes]:
    """Starts a marked process in a session of its own, its output going to `log`.

    Call it from a thread that lives as long as the program: the end of the thread counts as the parent's.
    """
    with log.open("ab") as output:
        return subprocess.Popen([*DIE_WITH_PARENT, *map(str, command)], stdin=subprocess.DEVNULL, stdout=output,
                                stderr=output, env={**os.environ, **(env or {}), MARK: mark}, cwd=cwd,
                                start_new_session=True)


@contextmanager
def started(command: Sequence[str | Path], mark: str, log: Path, env: Mapping[str, str] | None = None,
            cwd: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """The running process, its output going to `log`; at the end it and all its children are ended."""
    process = launch(command, mark, log, env, cwd)
    try:
        yield process
    finally:
        end_marked(mark)
        process.wait()


def guarded(mark: str, shared_memory: str) -> subprocess.Popen[bytes]:
    """A small process that ends all with this mark when we are gone, or when its standard input is closed.

    Files of /dev/shm whose names begin with `shared_memory` go too: killed servers leave theirs behind.
    """
    return subprocess.Popen([sys.executable, "-IS", __file__, mark, shared_memory], stdin=subprocess.PIPE,
                            start_new_session=True)


def remove_shared_memory(prefix: str) -> None:
    """Takes away what ended processes have left in /dev/shm under names that begin so."""
    for file in SHARED_MEMORY.glob(f"{prefix}*"):
        file.unlink(missing_ok=True)


def end_marked(mark: str, grace_s: float = GRACE_S) -> None:
    """Ends every process with this mark: SIGTERM, and SIGKILL for those that are still there after the grace time."""
    for sign, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, GRACE_S)):
        for pid in marked(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, sign)
        deadline = time.monotonic() + wait_s
        while marked(mark) and time.monotonic() < deadline:
            time.sleep(0.02)


def marked(mark: str) -> list[int]:
    """Ids of the living processes that carry this mark, or one below it, but for this one."""
    wanted, below = f"{MARK}={mark}".encode(), f"{MARK}={mark}/".encode()

    def carries(pid: int) -> bool:
        return any(entry == wanted or entry.startswith(below) for entry in _bytes(pid, "environ").split(b"\0"))

    return [pid for pid in _pids() if pid != os.getpid() and carries(pid)]


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
    return usage_of(tree(pid))


def usage_of(pids: Iterable[int]) -> Usage:
    """What these processes take now."""
    pids = list(pids)
    rollups = [_bytes(one, "smaps_rollup").decode() for one in pids]
    return Usage(sum(_rollup_bytes(text, "Rss") for text in rollups),
                 sum(_rollup_bytes(text, "Pss") for text in rollups), sum(map(cpu_s, pids)))


def arguments(pid: int) -> list[str]:
    """The command line of a process; empty when it has gone."""
    return _bytes(pid, "cmdline").decode(errors="replace").split("\0")[:-1]


def _rollup_bytes(text: str, field: str) -> int:
    return next((1024 * int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{field}:")), 0)


def cpu_s(pid: int) -> float:
    """CPU time of one process so far, user and system."""
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


if __name__ == "__main__":
    sys.stdin.buffer.read()
    end_marked(sys.argv[1], GUARD_GRACE_S)
    remove_shared_memory(sys.argv[2])
