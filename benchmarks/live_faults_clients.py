"""Faults of clients: those that go, those that are slow, and bodies that are too large."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from benchmarks.live_faults_client import Stream, body, p99_s, plain
from benchmarks.live_faults_servers import SETTLE_S, Row, warm
from benchmarks.live_faults_world import WARM, World
from mmesim.triton.example import ITEM_VALUES
from mmesim.triton.server import LOCAL

GOING, LORISES = 100, 200
HEAD = ("POST /endpoints/faults/invocations HTTP/1.1\r\nHost: x\r\nX-Amzn-SageMaker-Target-Model: {}\r\n"
        "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n")
BODY = body([1.0] * ITEM_VALUES)
MIB = 1 << 20


async def _connected(w: World) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(LOCAL, w.settings["gateway"]["port"])


async def disconnects(w: World, row: Row) -> None:
    """100 clients go: in the middle of the body, while the model answers, and while it is being loaded."""
    await warm(w)
    async with Stream(w.client, WARM) as stream:
        await asyncio.sleep(SETTLE_S)
        await asyncio.gather(*(_goes(w, number) for number in range(GOING)))
        await asyncio.sleep(SETTLE_S)
    row.count(stream.replies)
    row.count([await w.client.ask("m4")])
    row.notes.append(f"{GOING} went, among {stream.asked} that stayed")


async def _goes(w: World, number: int) -> None:
    """One client that breaks its connection off."""
    await asyncio.sleep(number * 0.01)
    _, writer = await _connected(w)
    model, half = ("m4", "m0")[number % 2], number % 4 < 2
    writer.write(HEAD.format(model, len(BODY)).encode() + (BODY[:20] if half else BODY))
    await writer.drain()
    await asyncio.sleep(0.003 * (number % 7))
    writer.transport.abort()


async def large_body(w: World, row: Row) -> None:
    """Bodies of 10 MB, where 6 MiB are accepted, and of 5.9 MiB."""
    await warm(w)
    async with Stream(w.client, WARM) as stream:
        large = await asyncio.gather(*(w.client.ask("m0", pad_bytes=10_000_000) for _ in range(5)))
        fits = await asyncio.gather(*(w.client.ask("m0", pad_bytes=round(5.9 * MIB)) for _ in range(5)))
    row.count(large, "413 ValidationError")
    row.count([*fits, *stream.replies])
    row.expect(all(reply.status == 413 for reply in large), f"{plain(large[0])}")
    row.notes.append(f"413 after {1e3 * max(reply.took_s for reply in large):.0f} ms at most; 5.9 MiB are served")


async def slow_loris(w: World, row: Row) -> None:
    """200 connections that send a byte of a header every half second, and 20 that do so with a body."""
    await warm(w)
    async with Stream(w.client, WARM) as stream:
        slow = [asyncio.create_task(_trickles(w, number < LORISES)) for number in range(LORISES + 20)]
        ended = await asyncio.gather(*slow)
    row.count(stream.replies)
    heads, bodies = ended[:LORISES], ended[LORISES:]
    row.expect(all(answer == b"" for _, answer in heads), f"a slow header was answered: {heads[0]}")
    row.expect(all(answer.startswith(b"HTTP/1.1 408") for _, answer in bodies), f"a slow body: {bodies[0]}")
    row.notes.append(f"slow headers are cut off after {max(took_s for took_s, _ in heads):.1f} s at most, slow bodies "
                     f"get 408 after {max(took_s for took_s, _ in bodies):.1f} s at most; p99 of the others meanwhile "
                     f"{1e3 * p99_s(stream.replies):.0f} ms")


async def _trickles(w: World, header: bool) -> tuple[float, bytes]:
    """Seconds until it was ended, and what it was told."""
    reader, writer = await _connected(w)
    began_s = time.monotonic()
    head = HEAD.format("m0", 1000).encode()
    writer.write(b"" if header else head)
    reading = asyncio.create_task(reader.read(1000))
    for byte in head if header else b" " * 1000:
        if reading.done():
            break
        with suppress(OSError):
            writer.write(bytes([byte]))
        await asyncio.wait([reading], timeout=0.5)
    writer.transport.abort()
    answer = b""
    with suppress(OSError):
        answer = await reading
    return time.monotonic() - began_s, answer
