"""The server's side of client connections: aiohttp's HTTP server, bounded in number and in patience.

aiohttp keeps idle connections, pipelining, chunked bodies and disconnections; what it does not bound is how many there
are, how long the headers of a request may take to arrive (a slow-loris sends a byte now and then), and how long an
answer waits for a client that does not read it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from mmesim.live.gateway.settings import GatewaySettings

FULL = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
READ_BYTES = 1 << 18
"""Of a body, read ahead of whoever takes it."""
LINGER_S = 5.0
"""How long the rest of a refused body is read and thrown away before the connection is closed."""
SWEEP_S = 0.5
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connection(web.RequestHandler):
    """One client's connection, which tells its listener when it owes something: headers, or taking an answer."""

    __slots__ = ("_listener", "serving")

    def __init__(self, listener: Listener, **settings: Any) -> None:
        super().__init__(listener, **settings)
        self._listener = listener
        self.serving = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if len(self._listener.connections) > self._listener.settings.max_connections:
            transport.write(FULL)  # type: ignore[attr-defined]
            self.force_close()

    def data_received(self, data: bytes) -> None:
        if not self.serving:
            self._listener.owes(self, self._listener.settings.header_timeout)
        super().data_received(data)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._listener.owes(self, self._listener.settings.body_timeout)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._listener.due_s.pop(self, None)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._listener.due_s.pop(self, None)
        super().connection_lost(exc)


class Listener(web.Server):
    """Makes a `Connection` for each client and hands its requests to the handler; a client that goes cancels it."""

    def __init__(self, handler: Handler, settings: GatewaySettings) -> None:
        super().__init__(self._serve, handler_cancellation=True)
        self._handler = handler
        self.settings = settings
        self.due_s: dict[Connection, float] = {}
        """Connections whose client owes something, and until when."""
        self.now_s = asyncio.get_running_loop().time
        self._sweeper = asyncio.create_task(self._sweep())

    def __call__(self) -> Connection:
        return Connection(self, loop=asyncio.get_running_loop(), keepalive_timeout=self.settings.idle_timeout,
                          access_log=None, auto_decompress=False, read_bufsize=READ_BYTES, lingering_time=LINGER_S)

    def owes(self, connection: Connection, within_s: float) -> None:
        """Its client must move on within this time; what it owes already stays due."""
        self.due_s.setdefault(connection, self.now_s() + within_s)

    async def close(self) -> None:
        """Closes every connection; what is still under way is cancelled."""
        self._sweeper.cancel()
        await self.shutdown(0.1)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        connection: Connection = request.protocol  # type: ignore[assignment]
        self.due_s.pop(connection, None)
        connection.serving = True
        try:
            return await self._handler(request)
        finally:
            connection.serving = False

    async def _sweep(self) -> None:
        """Cuts off those that are overdue."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now_s = self.now_s()
            for connection in [one for one, due_s in self.due_s.items() if due_s < now_s]:
                if connection.transport is not None:
                    connection.transport.abort()
