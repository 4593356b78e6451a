"""Faults of Triton and of the gateway itself."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.live_faults_client import RIGHT, Client, Reply, Stream, kinds, plain
from benchmarks.live_faults_world import CREDENTIALS, STREAM, WARM, World, archive, replayed, serve_command
from mmesim.triton.processes import arguments
from tests.bad_s3 import Fault as Bad

SETTLE_S = 1.5
"""Of the stream before a fault strikes."""
BURST = 30
"""Requests in flight when it strikes, besides the stream."""
LOST = "503 ServiceUnavailable"
REFUSED = "no answer: ClientConnectorError"
BROKEN = "no answer: ServerDisconnectedError"
RESET = "no answer: ClientOSError"


@dataclass
class Row:
    """What a fault did."""

    requests: int = 0
    gets: dict[str, int] = field(default_factory=dict)
    """How many requests ended how; those of the steady stream, and those that were meant for the fault."""
    recovery_s: list[float] = field(default_factory=list)
    """From the fault's strike (its end, where it lasts) to the first right answer that it stood in the way of."""
    longest_s: float = 0.0
    """Of the right answers."""
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What should not be."""

    def took(self, client: Client, *allowed: str) -> None:
        """Counts what the client has got; anything but right answers and the kinds `allowed` is a problem."""
        self.count(client.replies, *allowed)

    def count(self, replies: list[Reply], *allowed: str) -> None:
        """The same of some replies."""
        for kind, count in kinds(replies).items():
            self.gets[kind] = self.gets.get(kind, 0) + count
        self.requests += len(replies)
        self.longest_s = max([self.longest_s, *(reply.took_s for reply in replies if reply.right)])
        odd = [plain(reply) for reply in replies if reply.kind not in (RIGHT, *allowed)]
        if odd:
            self.problems.append(f"{len(odd)} unexpected outcomes, the first: {odd[0]}")

    def expect(self, true: bool, otherwise: str) -> None:
        """Notes a problem unless it is so."""
        if not true:
            self.problems.append(otherwise)


async def warm(w: World, *names: str) -> list[Reply]:
    """A first answer of each."""
    return await asyncio.gather(*(w.client.ask(name) for name in names or WARM))


async def triton_killed(w: World, row: Row, times: int = 3) -> None:
    """kill -9 of the only Triton under load."""
    await _struck(w, row, signal.SIGKILL, times)


async def triton_frozen(w: World, row: Row, times: int = 3) -> None:
    """SIGSTOP of the only Triton under load."""
    await _struck(w, row, signal.SIGSTOP, times)


async def _struck(w: World, row: Row, number: signal.Signals, times: int) -> None:
    await warm(w)
    for _ in range(times):
        async with Stream(w.client, STREAM) as stream:
            await asyncio.sleep(SETTLE_S)
            burst = [asyncio.create_task(w.client.ask("m0")) for _ in range(BURST)]
            await asyncio.sleep(0.02)
            struck_s = w.signal_triton(number)
            row.recovery_s.append(await stream.recovered(struck_s))
            row.count(await asyncio.gather(*burst))
            await asyncio.sleep(SETTLE_S)
        row.count(stream.replies, LOST)
        row.expect(all(reply.right for reply in stream.replies if reply.sent_s < struck_s), "one in flight was lost")


async def triton_killed_while_loading(w: World, row: Row, times: int = 3) -> None:
    """kill -9 of the only Triton while it loads a model that requests wait for."""
    names = [f"slow-{number}" for number in range(times)]
    w.put(**{name: archive(name, load_ms=2000) for name in names})
    await w.known(names[-1])
    for name in names:
        waiting = [asyncio.create_task(w.client.ask(name)) for _ in range(5)]
        await asyncio.sleep(1.0)
        killed_s = w.signal_triton(signal.SIGKILL)
        replies = await asyncio.gather(*waiting)
        row.recovery_s.append(min(reply.ended_s for reply in replies) - killed_s)
        row.count(replies)


async def one_of_two_killed(w: World, row: Row, times: int = 3) -> None:
    """kill -9 of one of two Tritons under load."""
    await w.until(lambda: len(w.tritons()) == 2, "two servers")
    await warm(w)
    for _ in range(times):
        async with Stream(w.client, STREAM) as stream:
            await asyncio.sleep(SETTLE_S)
            row.recovery_s.append(await stream.recovered(w.signal_triton(signal.SIGKILL)))
            await asyncio.sleep(2 * SETTLE_S)
        row.count(stream.replies)
    await w.until(lambda: len(w.tritons()) == 2, "two servers")
    await asyncio.sleep(SETTLE_S)


async def model_process_killed(w: World, row: Row, times: int = 3) -> None:
    """kill -9 of one model's process (python backend) under load: Triton itself lives on."""
    await warm(w)
    for _ in range(times):
        async with Stream(w.client, WARM) as stream:
            await asyncio.sleep(SETTLE_S)
            [pid] = [pid for pid in w.stubs() if any("/m0/" in one for one in arguments(pid))]
            os.kill(pid, signal.SIGKILL)
            row.recovery_s.append(await stream.recovered(time.monotonic(), models=["m0"]))
            await asyncio.sleep(SETTLE_S)
        row.count(stream.replies, "424 ModelError", LOST)


async def gateway_killed(w: World, row: Row, times: int = 3) -> None:
    """kill -9 of the gateway under load, and a new one on the same state at once."""
    await warm(w, *STREAM)
    for _ in range(times):
        async with Stream(w.client, WARM) as stream:
            await asyncio.sleep(SETTLE_S)
            killed_s, fetched = await w.kill(), w.fetched()
            await w.open()
            row.recovery_s.append(await stream.recovered(killed_s))
            await asyncio.sleep(SETTLE_S)
        row.count(stream.replies, REFUSED, BROKEN, RESET, LOST)
        row.count(await warm(w, *STREAM))
        row.expect(w.fetched() == fetched, f"{w.fetched() - fetched} archives were fetched again")
        for problem in replayed(w.journals[-2]):
            row.problems.append(problem)
    row.notes.append("no archive was fetched again; the journals of the killed replay equal")


async def gateway_killed_store_down(w: World, row: Row) -> None:
    """kill -9 of the gateway, and a new one while S3 is down."""
    await warm(w)
    w.proxy.plan = lambda number, line: Bad(after_bytes=0, end="reset")
    async with Stream(w.client, WARM) as stream:
        killed_s = await w.kill()
        await w.open()
        row.recovery_s.append(await stream.recovered(killed_s))
        await asyncio.sleep(SETTLE_S)
    row.count(stream.replies, REFUSED, BROKEN, RESET, LOST)
    row.notes.append("it serves what is on its disks, of the list it had last")


async def gateway_terminated(w: World, row: Row) -> None:
    """SIGTERM under load."""
    await warm(w)
    async with Stream(w.client, WARM) as stream:
        await asyncio.sleep(SETTLE_S)
        began_s = time.monotonic()
        row.expect(await w.stop() == 0, "exit code")
        ended_s = time.monotonic()
    row.notes.append(f"{ended_s - began_s:.1f} s to the end of its process")
    row.count(stream.replies, REFUSED, LOST, RESET, BROKEN)
    row.expect(not [r for r in stream.replies if r.sent_s < began_s and not r.right], "what came in was not answered")
    await w.open()


async def two_gateways(w: World, row: Row) -> None:
    """A second gateway on the same state folder."""
    await warm(w)
    async with Stream(w.client, WARM) as stream:
        command = serve_command(w.folder / "live.yaml", "--set", "gateway.port=0", "--set", "management.port=0")
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False, timeout=60,
                                       env={**os.environ, **CREDENTIALS})
    row.expect(done.returncode == 2 and "another endpoint is running on this state" in done.stderr,
               f"the second one: exit code {done.returncode}, {done.stderr[-300:]}")
    row.count(stream.replies)
    row.notes.append("the second one ends with exit code 2 and says why")


POLICY = '''
from dataclasses import dataclass

from mmesim.core.policy import EvictionPolicy


@dataclass
class Raises(EvictionPolicy):
    """Fails when it is asked."""

    def victims(self, candidates, need_bytes, now_ns):
        """Never."""
        raise ZeroDivisionError("a mistake in the policy")
'''


async def policy_raises(w: World, row: Row) -> None:
    """A policy of one's own raises under load, when for the first time a model must leave."""
    w.lossless = False  # what was under way when it raised is answered, and not written down
    await warm(w, "m0", "m1", "m2", "m3")
    async with Stream(w.client, WARM) as stream:
        await asyncio.sleep(SETTLE_S)
        cold = await w.client.ask("m4")
        await asyncio.sleep(SETTLE_S)
    row.count([cold, *stream.replies], LOST)
    row.expect(cold.kind == LOST and "a mistake in the policy" in cold.message, f"{plain(cold)}")
    state = await w.manage("GET", "/state")
    row.expect("a mistake in the policy" in (state["failed"] or ""), f"state: {state['failed']}")
    row.expect(not w.is_ready() and state["in_flight"] == 0, "ready, or something in flight")
    row.notes.append("nothing is decided any more: /ping and the state say so, every request gets 503 with the reason, "
                     "until it is started with another policy")


def write_policy(folder: Path) -> None:
    """The policy's file beside the settings."""
    (folder / "mistake.py").write_text(POLICY, encoding="utf-8")
