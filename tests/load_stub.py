"""A small HTTP endpoint whose delays, freezes and errors are given, in a thread of its own; it notes what it was
sent."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

Answer = tuple[int, str, dict[str, str]]
OK: Answer = (200, "{}", {})


@dataclass
class Stub:
    """What it does; the functions get the number of the request, from 0."""

    service_s: Callable[[int], float] = lambda k: 0.0
    answer: Callable[[int], Answer] = lambda k: OK
    one_at_a_time: bool = False
    """Requests are served one after another, in the order of their coming."""
    freeze_at: int = -1
    """With this request everything stops ..."""
    freeze_s: float = 1.0
    """... for so long: what was under way and what comes is answered no earlier."""
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    """Path, headers and body of each request."""
    served_s: list[float] = field(default_factory=list)
    """What each service really took."""
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        """One request."""
        if request.method == "GET":
            return web.json_response({"error": "unknown"}, status=404)
        k = len(self.seen)
        self.seen.append((request.path, dict(request.headers), b""))
        body = await request.read()
        self.seen[k] = (*self.seen[k][:2], body)
        if k == self.freeze_at:
            self._thaw_s = time.monotonic() + self.freeze_s
        if self.one_at_a_time:
            async with self._turn:
                await self._serve(k)
        else:
            await self._serve(k)
        status, text, headers = self.answer(k)
        if status == 0:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=status or 500, text=text, headers=headers, content_type="application/json")

    async def _serve(self, k: int) -> None:
        began_s = time.monotonic()
        await asyncio.sleep(self.service_s(k))
        self.served_s.append(time.monotonic() - began_s)
        while (left_s := self._thaw_s - time.monotonic()) > 0:
            await asyncio.sleep(left_s)

    async def run(self, ready: threading.Event, over: asyncio.Event) -> None:
        """Serve until it is over."""
        self._turn, self._thaw_s = asyncio.Lock(), 0.0
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        ready.set()
        await over.wait()
        await runner.cleanup()


@contextmanager
def running(stub: Stub) -> Iterator[Stub]:
    """The stub, listening on a free port of the loopback."""
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    over = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(stub.run(ready, over)))
    thread.start()
    try:
        assert ready.wait(10)
        yield stub
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()
