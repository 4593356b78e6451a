"""Notices that a server is lost: its process ended, or it failed its health check several times in a row."""

from __future__ import annotations

import asyncio

from mmesim.live.servers.base import BaseServer
from mmesim.live.servers.settings import ServerSettings


async def until_down(server: BaseServer, settings: ServerSettings) -> str:
    """Why it is lost, as soon as that is known: at once when its process ends (of our own servers), otherwise after
    the settings' number of failed checks. Its calls under way are interrupted."""
    checks = asyncio.ensure_future(_failing(server, settings))
    waited: set[asyncio.Future[str]] = {checks} if server.exited is None else {checks, server.exited}
    try:
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    finally:
        checks.cancel()
    reason = (checks if server.exited is None or not server.exited.done() else server.exited).result()
    server.interrupt(reason)
    return reason


async def until_up(server: BaseServer, settings: ServerSettings) -> None:
    """Returns when a server that was lost answers again."""
    while not await server.is_ready():
        await asyncio.sleep(settings.health_interval)


async def _failing(server: BaseServer, settings: ServerSettings) -> str:
    failed, loop = 0, asyncio.get_running_loop()
    while True:
        began_s = loop.time()
        failed = 0 if await server.is_ready() else failed + 1
        if failed == settings.health_failures:
            return f"failed {failed} health checks"
        await asyncio.sleep(max(0.0, began_s + settings.health_interval - loop.time()))
