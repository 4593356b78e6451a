"""A lean HTTP/1.1 client for load: pooled keep-alive connections, each an `asyncio.Protocol` with llhttp's parser.

A request is bytes made ready beforehand; of an answer only what a measurement needs is kept: the status, the headers
that were asked for, and the beginning of the body of an error. One request at a time on a connection (no pipelining),
as many connections as there are requests under way: an answer that is late never delays another request's sending.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import cast
from urllib.parse import urlsplit

import httptools

KEPT_BYTES = 2048
"""Of the body of an error."""


class Unreachable(Exception):
    """No connection, or it was lost before the answer was whole. The text says which."""


@dataclass(slots=True)
class Answer:
    """A whole answer."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    """Of those asked for, names in lower case."""
    text: bytes = b""
    """The beginning of an error's body."""


@dataclass(frozen=True)
class Address:
    """Where to connect to."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    path: str
    """Before every path, without a slash at its end."""

    @classmethod
    def of(cls, url: str) -> Address:
        """From ``http://host:port/prefix``, ``https://…`` or ``host:port``. Raises ValueError."""
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not an address: write e.g. http://127.0.0.1:8080")
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        return cls(parts.hostname, parts.port or (443 if tls else 80), tls, parts.path.rstrip("/"))

    @property
    def host_header(self) -> str:
        """With brackets round an IPv6 address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Pool:
    """Connections to one address; `wanted` are the headers to keep."""

    def __init__(self, address: Address, wanted: frozenset[bytes] = frozenset()) -> None:
        self.address = address
        self.wanted = wanted
        self.opened = 0
        """Connections made so far."""
        self._idle: list[_Connection] = []
        self._all: set[_Connection] = set()

    async def send(self, parts: Sequence[bytes], timeout_s: float) -> Answer:
        """Sends a whole request, given in parts, and waits for its answer. Raises Unreachable, TimeoutError."""
        connection = self._idle.pop() if self._idle else await self._connect(timeout_s)
        return await connection.send(parts, timeout_s)

    async def _connect(self, timeout_s: float) -> _Connection:
        loop, to = asyncio.get_running_loop(), self.address
        try:
            async with asyncio.timeout(timeout_s):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self, loop), to.host, to.port, ssl=to.tls)
        except TimeoutError:
            raise
        except OSError as error:
            raise Unreachable(f"no connection to {to.host_header}: {error.strerror or error}") from error
        self.opened += 1
        self._all.add(connection)
        return connection

    def rest(self, connection: _Connection) -> None:
        """It may be used again."""
        self._idle.append(connection)

    def forget(self, connection: _Connection) -> None:
        """It is closed."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Closes all connections; requests under way end as Unreachable."""
        for connection in list(self._all):
            connection.close()


class _Connection(asyncio.Protocol):
    """One connection; the `on_…` methods are called by the parser."""

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop) -> None:
        self._pool, self._loop = pool, loop
        self._parser = httptools.HttpResponseParser(self)
        self._waiting: asyncio.Future[Answer] | None = None
        self._answer = Answer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: it stands."""
        self._transport = cast(asyncio.Transport, transport)

    async def send(self, parts: Sequence[bytes], timeout_s: float) -> Answer:
        """See :meth:`Pool.send`."""
        self._waiting = waiting = self._loop.create_future()
        self._answer = Answer()
        alarm = self._loop.call_later(timeout_s, self._give_up, TimeoutError())
        try:
            self._transport.writelines(parts)
            return await waiting
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            alarm.cancel()

    def _give_up(self, error: Exception) -> None:
        """The request under way ends so, and with it the connection, which is in an unknown state."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)
        self.close()

    def close(self) -> None:
        """Ends the connection at once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """asyncio: a part of an answer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._give_up(Unreachable(f"not an HTTP answer: {error}"))

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: it is over."""
        self._pool.forget(self)
        self._give_up(Unreachable(f"the connection was lost: {error or 'closed by the server'}"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Parser: a header."""
        name = name.lower()
        if name in self._pool.wanted:
            self._answer.headers[name] = value

    def on_body(self, body: bytes) -> None:
        """Parser: a part of the body."""
        if len(self._answer.text) < KEPT_BYTES and self._parser.get_status_code() != HTTPStatus.OK:
            self._answer.text = (self._answer.text + body)[:KEPT_BYTES]

    def on_message_complete(self) -> None:
        """Parser: the answer is whole."""
        answer, waiting = self._answer, self._waiting
        answer.status = self._parser.get_status_code()
        if answer.status < HTTPStatus.OK:  # 100 Continue: the answer is still to come
            return
        self._waiting = None
        if self._parser.should_keep_alive():
            self._pool.rest(self)
        else:
            self.close()
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
