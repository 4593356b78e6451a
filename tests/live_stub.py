"""The least endpoint there can be behind a gateway: every model is READY on one server, or held until it is told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns
from typing import Any

from mmesim.core.types import NONE, Failure, Tier
from mmesim.live.gateway import Gateway, GatewaySettings, serve
from mmesim.live.ports import MAX_ATTEMPTS, Address, Server, Ticket


@dataclass
class StubServer:
    """A server of which only the address is used."""

    address: Address
    name: str = "only"
    repository: Path = Path()

    async def is_ready(self) -> bool:
        return True


@dataclass
class StubEndpoint:
    """Sends everything to its servers in turn: the first attempt to the first, the second to the second."""

    servers: list[Server]
    models: tuple[str, ...]
    name: str = "mme"
    invocation_timeout_s: float = 5.0
    ready: bool = True
    cold: dict[str, asyncio.Event] = field(default_factory=dict)
    """Models that are held until their event comes."""
    refuse: Mapping[str, tuple[Failure, str]] = field(default_factory=dict)
    """Models whose requests fail at once."""
    open: dict[int, Ticket] = field(default_factory=dict)
    ended: Counter[Failure] = field(default_factory=Counter)
    begun: int = 0
    _serial: int = 0

    def holder(self, name: str) -> Server | None:
        return self.servers[0] if name in self.models and name not in self.cold else None

    def begin(self, name: str) -> Ticket:
        self.begun += 1
        return self._arrive(name, 1)

    def _arrive(self, name: str, attempt: int) -> Ticket:
        self._serial += 1
        ticket = Ticket(self._serial, 0, name, monotonic_ns(), instance=attempt - 1, attempt=attempt)
        self.open[ticket.serial] = ticket
        if name not in self.models:
            ticket.failure = Failure.NO_SUCH_MODEL
        elif name in self.refuse:
            ticket.failure, ticket.reason = self.refuse[name]
        elif name in self.cold:
            ticket.held, ticket.tier = True, Tier.S3
        if attempt > min(MAX_ATTEMPTS, len(self.servers)):
            ticket.failure = Failure.INSTANCE_LOST
        if ticket.failure:
            ticket.instance = NONE
        return ticket

    async def wait(self, ticket: Ticket) -> None:
        try:
            await asyncio.wait_for(self.cold[ticket.name].wait(), self.invocation_timeout_s)
            ticket.held = False
        except TimeoutError:
            ticket.failure = Failure.MODEL_NOT_READY
        except asyncio.CancelledError:
            self.end(ticket, Failure.TIMEOUT)
            raise

    def server(self, ticket: Ticket) -> Server:
        return self.servers[ticket.attempt - 1]

    def end(self, ticket: Ticket, failure: Failure = Failure.NONE) -> None:
        del self.open[ticket.serial]  # a second end of the same request fails here
        self.ended[failure] += 1

    def again(self, ticket: Ticket) -> Ticket:
        del self.open[ticket.serial]
        return self._arrive(ticket.name, ticket.attempt + 1)


async def until(true: Callable[[], object], timeout_s: float = 5.0) -> None:
    """Waits until something is true."""
    async with asyncio.timeout(timeout_s):
        while not true():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def gateway(endpoint: StubEndpoint, **settings: Any) -> AsyncIterator[Gateway]:
    """A gateway on free ports; at the end every ticket must have been ended."""
    running = await serve(endpoint, GatewaySettings(port=0, **settings))
    try:
        yield running
    finally:
        await running.drain(1.0)
    assert not endpoint.open, "requests that were never ended"


@dataclass
class Asked:
    """A request as a `RawServer` got it, and the connection to answer on."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: bytes
    body: bytes


class RawServer:
    """An HTTP server that does what `answer` says with each request; what a real one does only on its worst days."""

    def __init__(self, answer: Callable[[Asked], Awaitable[None]]) -> None:
        self._answer = answer
        self.connections = 0

    async def __aenter__(self) -> StubServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return StubServer(Address(f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}", ""))

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                await self._answer(Asked(reader, writer, *await read_message(reader)))
        writer.close()


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of a request or an answer with a Content-Length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    return head, await reader.readexactly(length)


async def well(asked: Asked) -> None:
    """Answers at once."""
    asked.writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
