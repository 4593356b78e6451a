"""Triton servers that are started on this machine, each with a folder, ports and shared memory of its own.

None outlives this program: each process carries a mark (`mmesim.triton.processes`) with the root folder and its slot in
it, gets a SIGTERM when we die (setpriv), and a small guard ends whatever is left, frozen servers and the stubs of
killed ones too: a stub whose server was killed goes on by itself. What was left all the same, because somebody killed
the guard as well, is ended when the same root is used again. A root has one user at a time.

Layout: ``ROOT/server-SLOT/models``, the model repository, and ``ROOT/server-SLOT/tritonserver.log``.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import IO

from mmesim.errors import InputError, Problem
from mmesim.live.ports import Address, Server, ServerDown
from mmesim.live.provision.settings import LocalSettings
from mmesim.live.servers.base import MACHINE
from mmesim.live.servers.scrape import Whole
from mmesim.live.servers.settings import ServerSettings
from mmesim.live.servers.triton import TritonAdapter
from mmesim.triton.processes import end_marked, guarded, launch, remove_shared_memory
from mmesim.triton.server import LOCAL, Ports, free_ports, server_command, tail
from mmesim.triton.tools import find_server

READY_POLL_S = 0.02
LOG = "tritonserver.log"
LOG_LINES = 4
"""Of the log of a server that does not start, in the message."""
ATTEMPTS = 2
"""Ports that were free may be taken a moment later."""


@dataclass
class Started:
    """A server process of ours."""

    process: subprocess.Popen[bytes]
    server: TritonAdapter


class LocalProvisioner:
    """A `Provisioner` that starts tritonserver. Raises InputError when there is none, or the root is in use."""

    def __init__(self, root: Path, local: LocalSettings, settings: ServerSettings, whole: Whole = MACHINE) -> None:
        self._local = local
        self._settings = settings
        self._root = root.absolute()
        self._whole = whole
        self._program = find_server(local.program)
        key = blake2b(str(self._root).encode(), digest_size=6).hexdigest()
        of_root, root_segments = f"live {key}", f"mmesim-{key}-"
        self.mark = f"{of_root}/{os.getpid()}"
        """In the environment of all that is started here (`mmesim.triton.processes`). Another one in each run: the
        guard of an earlier run may still be at work."""
        self.segments = f"{root_segments}{os.getpid()}-"
        """The names of their shared memory begin so."""
        self._started: dict[int, Started] = {}
        self._locks: dict[int, asyncio.Lock] = {}
        self._root.mkdir(parents=True, exist_ok=True)
        self._claim = _claimed(self._root)
        end_marked(of_root, grace_s=0)
        remove_shared_memory(root_segments)
        self._guard = guarded(self.mark, self.segments)

    async def start(self, slot: int) -> Server:
        """A server for this slot, ready and with nothing loaded; its disk may hold models. Raises ServerDown."""
        async with self._lock(slot):
            await self._end(slot, self._local.stop_grace)
            return await self._start(slot)

    async def restart(self, slot: int) -> Server:
        """Kills what is left of it, frozen or not, and starts it anew; its disk stays. Raises ServerDown."""
        async with self._lock(slot):
            await self._end(slot, grace_s=0)
            return await self._start(slot)

    async def stop(self, slot: int) -> None:
        """Ends it, its stubs too, and empties its disk."""
        async with self._lock(slot):
            await self._end(slot, self._local.stop_grace)
            await asyncio.to_thread(shutil.rmtree, self._folder(slot), ignore_errors=True)

    async def close(self) -> None:
        """Ends all that it started; the disks stay."""
        await asyncio.gather(*(self._end(slot, self._local.stop_grace) for slot in list(self._started)))
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        await asyncio.to_thread(self._guard.wait)
        self._claim.close()

    def _lock(self, slot: int) -> asyncio.Lock:
        return self._locks.setdefault(slot, asyncio.Lock())

    def _folder(self, slot: int) -> Path:
        return self._root / f"server-{slot}"

    async def _start(self, slot: int) -> Server:
        for attempt in range(ATTEMPTS):
            started = self._launch(slot)
            self._started[slot] = started
            try:
                await self._ready(slot, started)
            except BaseException as error:
                await asyncio.shield(self._end(slot, grace_s=0))
                if not isinstance(error, ServerDown) or attempt + 1 == ATTEMPTS:
                    raise
            else:
                return started.server
        raise AssertionError("one of the attempts has returned or raised")

    def _launch(self, slot: int) -> Started:
        """From the thread of the loop, which lives as long as we do: its end counts as ours."""
        folder, ports = self._folder(slot), Ports(*free_ports(3))
        models = folder / "models"
        models.mkdir(parents=True, exist_ok=True)
        command = server_command(self._program, models, ports, (
            f"--metrics-interval-ms={1e3 * self._settings.metrics_interval:g}",
            f"--backend-config=python,shm-region-prefix-name={self.segments}{slot}-", *self._local.arguments))
        process = launch(command, f"{self.mark}/{slot}", folder / LOG, self._local.environment)
        address = Address(f"{LOCAL}:{ports.http}", f"{LOCAL}:{ports.grpc}", f"{LOCAL}:{ports.metrics}")
        return Started(process, TritonAdapter(f"server-{slot}", address, models, self._settings, pid=process.pid,
                                              whole=self._whole, exited=_end_of(process)))

    async def _ready(self, slot: int, started: Started) -> None:
        server, limit_s = started.server, self._local.start_timeout
        assert server.exited is not None
        fault = f"is not ready after {limit_s:g} s"
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while not server.exited.done():
                    if await server.is_ready():
                        return
                    await asyncio.sleep(READY_POLL_S)
                fault = f"does not start: {server.exited.result()}"
        raise ServerDown(f"{server.name} {fault}: {tail(self._folder(slot) / LOG, LOG_LINES)}")

    async def _end(self, slot: int, grace_s: float) -> None:
        started = self._started.pop(slot, None)
        if started is None:
            return
        assert started.server.exited is not None
        await started.server.close()
        if started.server.exited.done():
            grace_s = 0  # its stubs are left, which do not heed a SIGTERM
        await asyncio.to_thread(end_marked, f"{self.mark}/{slot}", grace_s)
        await asyncio.shield(started.server.exited)
        await asyncio.to_thread(remove_shared_memory, f"{self.segments}{slot}-")


def _claimed(root: Path) -> IO[str]:
    """The root's lock, held as long as the file is open, by one program at a time."""
    lock = (root / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise InputError(Problem("another live endpoint runs its servers here", file=str(root),
                                 hint="end it, or give this one another folder (state)")) from None
    return lock


def _end_of(process: subprocess.Popen[bytes]) -> asyncio.Future[str]:
    """Done as soon as the process has ended, with how it did."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[str] = loop.create_future()
    descriptor = os.pidfd_open(process.pid)

    def reap() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        code = process.wait()
        ended.set_result(f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}")

    loop.add_reader(descriptor, reap)
    return ended
