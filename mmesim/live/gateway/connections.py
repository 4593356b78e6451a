"""The server's side of client connections: aiohttp's HTTP server, bounded in number and in patience.

aiohttp keeps idle connections, pipelining, chunked bodies and disconnections; what it does not bound is how many there
are and how long the headers of a request may take to arrive (a slow-loris sends a byte now and then).
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
    """One client's connection, which knows since when the headers of its next request have been on their way."""

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
            self._listener.heads.setdefault(self, self._listener.now_s())
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._listener.heads.pop(self, None)
        super().connection_lost(exc)


class Listener(web.Server):
    """Makes a `Connection` for each client and hands its requests to the handler; a client that goes cancels it."""

    def __init__(self, handler: Handler, settings: GatewaySettings) -> None:
        super().__init__(self._serve, handler_cancellation=True)
        self._handler = handler
        self.settings = settings
        self.heads: dict[Connection, float] = {}
        """Connections on which the headers of a request are on their way, and since when."""
        self.now_s = asyncio.get_running_loop().time
        self._sweeper = asyncio.create_task(self._sweep())

    def __call__(self) -> Connection:
        return Connection(self, loop=asyncio.get_running_loop(), keepalive_timeout=self.settings.idle_timeout,
                          access_log=None, auto_decompress=False, read_bufsize=READ_BYTES, lingering_time=LINGER_S)

    async def close(self) -> None:
        """Closes every connection; what is still under way is cancelled."""
        self._sweeper.cancel()
        await self.shutdown(0.1)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        connection: Connection = request.protocol  # type: ignore[assignment]
        self.heads.pop(connection, None)
        connection.serving = True
        try:
            return await self._handler(request)
        finally:
            connection.serving = False

    async def _sweep(self) -> None:
        """Cuts off those whose headers take too long."""
        while True:
            await asyncio.sleep(SWEEP_S)
            latest_s = self.now_s() - self.settings.header_timeout
            for connection in [one for one, since_s in self.heads.items() if since_s < latest_s]:
                connection.force_close()
