"""What all dialects share: one HTTP session, metrics, measured memory, and calls that never hang.

Every call has a time-out. `interrupt` ends those under way at once when it is known that the server is lost.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from mmesim.live.ports import Address, ServerDown, Taken
from mmesim.live.servers import memory
from mmesim.live.servers import scrape as pages
from mmesim.live.servers.settings import ServerSettings

T = TypeVar("T")
POLL_S, POLL_MAX_S, POLL_GROWTH = 0.005, 0.05, 1.2
"""How often the index is looked at while a model unloads: at first, at last, and how the pauses grow."""
OUT_OF_MEMORY = ("out of memory", "out_of_memory", "outofmemory", "memoryerror", "std::bad_alloc", "cudaerrormemory",
                 "failed to allocate memory", "unable to allocate", "alloc_failed", "tensor is not initialized",
                 "memory limit set for", "cannot allocate memory")
"""What CUDA, frameworks, Python and NumPy say when memory is short, in lower case; `tensor is not initialized` is
TensorFlow's, `alloc_failed` cuBLAS's, `memory limit set for` that of Triton's --model-load-gpu-limit. Triton's own
SageMaker service (src/sagemaker_server.cc) knows fewer, and also a bare "OOM", which may be in a model's name."""
MACHINE = pages.Whole()


def is_out_of_memory(message: str) -> bool:
    """Whether a server's words for a failed load mean that memory was short."""
    lower = message.lower()
    return any(words in lower for words in OUT_OF_MEMORY)


class BaseServer(ABC):
    """One Triton server. `pid`: its process, where it is on this machine; `whole`: what 100 % of its levels is."""

    def __init__(self, name: str, address: Address, repository: Path, settings: ServerSettings, *,
                 pid: int | None = None, whole: pages.Whole = MACHINE,
                 exited: asyncio.Future[str] | None = None) -> None:
        self.name = name
        self.address = address
        self.repository = repository
        self.exited = exited
        """Done, with the reason, when its process has ended; None: it is not ours."""
        self._settings = settings
        self._pid = pid
        self._whole = whole
        self._http: aiohttp.ClientSession | None = None
        self._lost: asyncio.Future[str] | None = None
        self._totals = pages.Totals()
        self._processes: pages.ProcessLevels | None = None
        self._device = memory.DeviceMemory(self._gpu_used_bytes, settings.metrics_interval)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} at {self.address.grpc or self.address.sagemaker}>"

    def interrupt(self, reason: str) -> None:
        """The server is lost: calls under way raise ServerDown with this reason now, not at their time-out."""
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(reason)
        self._lost = None

    async def close(self) -> None:
        """Closes connections; the server goes on."""
        self.interrupt("closed")
        session, self._http = self._http, None
        if session is not None:
            await session.close()

    # Of each dialect, see `mmesim.live.ports.Server`.

    @abstractmethod
    async def is_ready(self) -> bool: ...

    @abstractmethod
    async def index(self) -> Mapping[str, str]: ...

    @abstractmethod
    async def load(self, model: str, timeout_s: float) -> None: ...

    @abstractmethod
    async def unload(self, model: str, timeout_s: float) -> None: ...

    # What they share.

    async def taken(self, model: str) -> Taken | None:
        """What a loaded copy takes, measured as the settings say."""
        if self._settings.measure == "process" and self._pid is not None:
            return await asyncio.to_thread(memory.of_processes, self._pid, self.repository / model)
        if self._settings.measure == "gpu":
            return await self._device.of(model)
        return None

    async def scrape(self) -> Mapping[str, float]:
        """Levels now by CloudWatch's names, and Triton's counters by its own, added up over models. Raises ServerDown.
        """
        states = await self.index()
        levels = {"LoadedModelCount": float(sum(state == "READY" for state in states.values()))}
        samples = await self._samples()
        levels.update(self._totals.take(samples))
        levels.update(pages.device_levels(samples))
        levels.update(pages.machine_levels(samples) if self._pid is None
                      else await asyncio.to_thread(self._process_levels, self._pid))
        levels.update(await asyncio.to_thread(pages.disk_levels, self.repository, self._whole))
        return levels

    async def _unloaded(self, model: str) -> None:
        """Waits until the index says that it has gone."""
        pause_s = POLL_S
        while (await self.index()).get(model, "UNAVAILABLE") != "UNAVAILABLE":
            await asyncio.sleep(pause_s)
            pause_s = min(POLL_MAX_S, POLL_GROWTH * pause_s)

    async def _unless_lost(self, call: Awaitable[T]) -> T:
        """The call's result; ServerDown as soon as `interrupt` is called."""
        if self._lost is None:
            self._lost = asyncio.get_running_loop().create_future()
        lost, task = self._lost, asyncio.ensure_future(call)
        try:
            waited: set[asyncio.Future[Any]] = {task, lost}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not task.done() or task.cancelled():  # gRPC cancels the calls of a channel that is closed
                raise ServerDown(f"{self.name} {lost.result() if lost.done() else 'was closed'}")
            return task.result()
        finally:
            task.cancel()

    async def _fetch(self, method: str, url: str, timeout_s: float | None,
                     **arguments: Any) -> tuple[int, str]:
        """Status and text. Raises ServerDown, TimeoutError."""
        if self._http is None:
            self._http = aiohttp.ClientSession()
        try:
            async with asyncio.timeout(timeout_s), self._http.request(
                    method, url, timeout=aiohttp.ClientTimeout(None), **arguments) as answer:
                return answer.status, await answer.text()
        except aiohttp.ClientError as error:
            raise ServerDown(f"{self.name}: {error or type(error).__name__}") from error

    async def _samples(self) -> list[pages.Sample]:
        """Its metrics page; nothing when it has none."""
        if not self.address.metrics:
            return []
        try:
            status, text = await self._fetch("GET", f"http://{self.address.metrics}/metrics",
                                             self._settings.call_timeout)
        except TimeoutError:
            raise ServerDown(f"{self.name} does not answer on its metrics port") from None
        return pages.parse(text) if status == 200 else []

    async def _gpu_used_bytes(self) -> int | None:
        return pages.gpu_used_bytes(await self._samples()) if self._settings.measure == "gpu" else None

    def _process_levels(self, pid: int) -> dict[str, float]:
        if self._processes is None:
            self._processes = pages.ProcessLevels(pid, self._whole)
            return {name: value for name, value in self._processes.read().items() if name != "CPUUtilization"}
        return self._processes.read()
