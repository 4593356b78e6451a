"""Servers that run already at given addresses: nothing is started, nothing is ended."""

from __future__ import annotations

from collections.abc import Sequence

from mmesim.live.ports import Server, ServerDown
from mmesim.live.servers.base import MACHINE, BaseServer
from mmesim.live.servers.connect import connect
from mmesim.live.servers.scrape import Whole
from mmesim.live.servers.settings import RunningServer, ServerSettings


class FixedProvisioner:
    """A `Provisioner` whose slots are the servers of a list."""

    def __init__(self, servers: Sequence[RunningServer], settings: ServerSettings, whole: Whole = MACHINE) -> None:
        self._running = servers
        self._settings = settings
        self._whole = whole
        self._connected: dict[int, BaseServer] = {}

    async def start(self, slot: int) -> Server:
        """The server of this slot, which must be ready; what it has loaded is for the caller to find out. Raises
        ServerDown."""
        running = self._running[slot]
        await self.stop(slot)
        server = connect(running, self._settings, self._whole)
        if not await server.is_ready():
            await server.close()
            raise ServerDown(f"{running.name} does not answer at {running.grpc or running.sagemaker}")
        self._connected[slot] = server
        return server

    async def stop(self, slot: int) -> None:
        """Leaves it alone from now on."""
        server = self._connected.pop(slot, None)
        if server is not None:
            await server.close()

    async def restart(self, slot: int) -> None:
        """Not ours to restart: it may come back by itself."""

    async def close(self) -> None:
        """Closes connections."""
        for slot in list(self._connected):
            await self.stop(slot)
