"""A live endpoint on bad days, the quick ones: Triton killed and frozen, the gateway killed, S3 down, archives and
models that are no good, clients that go and bodies that are too large. `python -m benchmarks.live_faults` plays all.

One endpoint goes through them all: `mmesim live serve` as a process before a real Triton and a real S3-compatible
server, a client that counts, and after each fault the look at what it left.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import pytest
from live_triton import program

pytest.importorskip("aiohttp")
pytest.importorskip("moto.server")
from benchmarks.live_faults import FAULTS, counted
from benchmarks.live_faults_servers import Row
from benchmarks.live_faults_world import World, outside, world

QUICK = ("corrupt-archive", "failing-load", "s3-down", "disconnects", "large-body", "triton-killed", "triton-frozen",
         "gateway-killed")
ONCE = ("triton-killed", "triton-frozen", "gateway-killed")
"""Where the benchmark strikes three times."""


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    program()
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def endpoint(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """In service. At its end nothing is left of it, its journals replay equal, and they hold what was answered."""
    with outside() as (s3, proxy):
        making = world(s3, proxy, tmp_path_factory.mktemp("faults"))
        w = runner.run(making.__aenter__())
        try:
            runner.run(w.open())
            yield w
            assert runner.run(w.after()) == []
            assert counted(w) == []
        finally:
            runner.run(making.__aexit__(None, None, None))


@pytest.mark.parametrize("name", QUICK)
def test_fault(name: str, endpoint: World, runner: asyncio.Runner) -> None:
    async def played() -> Row:
        row, once = Row(), {"times": 1} if name in ONCE else {}
        await FAULTS[name].play(endpoint, row, **once)
        row.problems += await endpoint.audit()
        return row

    row = runner.run(played())
    print(name, row, file=sys.stderr)
    assert row.problems == []
    assert row.gets["200"] > 0
