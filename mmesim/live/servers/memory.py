"""What one loaded copy takes of memory, measured: of its own processes, or of the device.

The python backend runs each instance of a model in a process of its own, which has the model's file on its command line
(src/stub_launcher.cc of triton-inference-server/python_backend): their proportional memory (PSS) is the copy's. On a
GPU the server tells the device's used memory alone, so a copy's is a difference of two looks, and it is its own only
when nothing else was loaded or unloaded between them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from mmesim.live.ports import Taken
from mmesim.triton.processes import arguments, tree, usage_of

SETTLED = 1.1
"""A look is true after so many of Triton's intervals."""


def of_processes(pid: int, folder: Path) -> Taken | None:
    """Proportional memory of the processes below `pid` that run the model in this folder; None: there are none."""
    within = f"{folder}/"
    own = [one for one in tree(pid)[1:] if any(argument.startswith(within) for argument in arguments(one)[1:])]
    return Taken(0, usage_of(own).pss_bytes) if own else None


class DeviceMemory:
    """Differences of the device's used memory. `used`: bytes at Triton's last look, one every `interval_s`; None: no
    GPU, or nobody wants to know."""

    def __init__(self, used: Callable[[], Awaitable[int | None]], interval_s: float) -> None:
        self._used = used
        self._settle_s = SETTLED * interval_s
        self._under_way = 0
        self._changes = 0
        """Loads and unloads begun so far."""
        self._changed_s = -self._settle_s
        """When the last one ended."""
        self._before: dict[str, tuple[int, int]] = {}
        """Model -> (bytes used before its load, changes then), of loads that found the device at rest."""

    @asynccontextmanager
    async def changing(self, model: str, *, load: bool) -> AsyncIterator[None]:
        """Around a load or an unload."""
        self._before.pop(model, None)
        self._changes += 1
        at_rest = not self._under_way and time.monotonic() >= self._changed_s + self._settle_s
        self._under_way += 1
        began = self._changes
        try:
            used = await self._used() if load and at_rest else None
            if used is not None:
                self._before[model] = (used, began)
            yield
        finally:
            self._under_way -= 1
            self._changed_s = time.monotonic()

    async def of(self, model: str) -> Taken | None:
        """What the model's load has added; None: something else was loaded or unloaded meanwhile, or no GPU is there.
        """
        used, began = self._before.pop(model, (0, -1))
        if began != self._changes:
            return None
        await asyncio.sleep(self._settle_s)
        now = await self._used()
        return Taken(max(0, now - used), 0) if now is not None and began == self._changes else None
