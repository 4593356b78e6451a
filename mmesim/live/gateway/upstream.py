"""Pooled keep-alive connections to the servers: one request goes out, its whole answer comes back.

Parsed by httptools (llhttp) on plain asyncio protocols. A bare gateway of aiohttp's server and this carries 10,500
requests per second of processor time, one of aiohttp's server and client 3,900 (uvloop, AMD EPYC, small JSON bodies);
the controller in the same process needs the rest. Bodies are not joined: what was read in pieces is written so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import httptools

from mmesim.live.ports import ServerDown, Ticket

CONNECT_S = 3.0
"""A server that does not even accept a connection in this time is down."""


@dataclass(slots=True)
class Answer:
    """A server's answer; header names as it wrote them."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)

    def text(self) -> str:
        """The body as text."""
        return b"".join(self.body).decode(errors="replace")


class _Connection(asyncio.Protocol):
    """One connection; at most one request at a time."""

    def __init__(self, upstream: Upstream, address: str) -> None:
        self._upstream, self.address = upstream, address
        self._parser = httptools.HttpResponseParser(self)
        self._answer = Answer()
        self._waiter: asyncio.Future[Answer] | None = None
        self.transport: asyncio.Transport

    async def ask(self, head: bytes, body: Sequence[bytes], timeout_s: float) -> Answer:
        """Sends and waits. However it ends but by an answer, the connection is closed and not used again."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Answer] = loop.create_future()
        self._waiter = waiter
        timer = loop.call_later(timeout_s, self._fail, TimeoutError())
        self.transport.writelines((head, *body))
        try:
            answer = await waiter
        except BaseException:
            self.transport.abort()
            raise
        finally:
            self._waiter = None
            timer.cancel()
        if not self.transport.is_closing():
            self._upstream.idle(self)
        return answer

    def give_up(self) -> None:
        """The server is lost: what waits here ends now."""
        self._fail(ServerDown(f"{self.address} was given up"))

    def _fail(self, error: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ServerDown(f"{self.address} does not speak HTTP: {error}"))
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._upstream.closed(self)
        self._fail(ServerDown(f"{self.address} closed the connection" + (f": {exc}" if exc else "")))

    # httptools

    def on_message_begin(self) -> None:
        self._answer = Answer()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._answer.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        self._answer.body.append(body)

    def on_message_complete(self) -> None:
        self._answer.status = self._parser.get_status_code()
        if self._waiter is None or not self._parser.should_keep_alive():
            self.transport.close()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(self._answer)


class Upstream:
    """All connections to all servers, by ``host:port``."""

    def __init__(self) -> None:
        self._open: set[_Connection] = set()
        self._idle: dict[str, list[_Connection]] = {}

    async def ask(self, address: str, head: bytes, body: Sequence[bytes], timeout_s: float,
                  ticket: Ticket | None = None) -> Answer:
        """The answer to a request. `head`: request line and headers with the empty line at their end. While it is
        under way, the release of its ticket means that the server is given up.

        Raises ServerDown when the connection cannot be made or is lost before the whole answer is here, TimeoutError
        when that takes longer than `timeout_s`.
        """
        idle = self._idle.get(address)
        connection = idle.pop() if idle else await self._connect(address, timeout_s)
        if ticket is None:
            return await connection.ask(head, body, timeout_s)
        ticket.on_release = connection.give_up
        try:
            return await connection.ask(head, body, timeout_s)
        finally:
            ticket.on_release = None

    async def _connect(self, address: str, timeout_s: float) -> _Connection:
        host, _, port = address.rpartition(":")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(min(CONNECT_S, timeout_s)):
                connection = (await loop.create_connection(lambda: _Connection(self, address), host, int(port)))[1]
        except (OSError, TimeoutError) as error:
            raise ServerDown(f"{address} does not accept a connection: {error}") from error
        self._open.add(connection)
        return connection

    def idle(self, connection: _Connection) -> None:
        """It can take the next request."""
        self._idle.setdefault(connection.address, []).append(connection)

    def closed(self, connection: _Connection) -> None:
        """It has gone."""
        self._open.discard(connection)
        idle = self._idle.get(connection.address, [])
        if connection in idle:
            idle.remove(connection)
            if not idle:
                del self._idle[connection.address]

    def close(self) -> None:
        """Closes everything."""
        for connection in list(self._open):
            connection.transport.abort()
