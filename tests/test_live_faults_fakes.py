"""Faults that are hard to have of real servers, or at the wrong moment: policies that raise, clients that go while
their server is replaced, copies that are broken, archives that would break the quota."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from mmesim.core import actions as act
from mmesim.core import events as ev
from mmesim.core.types import Failure, Tier
from mmesim.live.ports import ServerDown
from mmesim.live.servers.base import BaseServer
from tests.live_fakes import FakeStore, world
from tests.test_live_runtime import A, B, C, played, served, until


def test_a_client_that_goes_while_its_server_is_replaced_is_forgotten() -> None:
    async def scene(w: SimpleNamespace) -> None:
        await served(w, A)
        sent = w.runtime.begin(A)
        w.provisioner.servers[0].down = True
        again = w.runtime.again(sent)
        waiting = asyncio.create_task(w.runtime.wait(again))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert again.over and not w.runtime.machine.in_flight
        await until(lambda: len(w.written.events(ev.InstanceJoined)) == 2)
        assert not (await served(w, A)).failure

    played(scene)


def test_a_held_request_fails_at_once_when_a_policy_raises() -> None:
    async def scene() -> None:
        w = world([A, B, C])
        await w.runtime.start()
        await until(lambda: w.runtime.ready)
        try:
            await served(w, A)
            await served(w, B)
            w.runtime.machine.controller.endpoint.policies.gpu_eviction.victims = _raises
            ticket = await asyncio.wait_for(served(w, C), 5)
            assert ticket.failure is Failure.INSTANCE_LOST and "a mistake" in ticket.reason
            assert not w.runtime.ready and not w.runtime.machine.in_flight
            written = len(w.written.steps)
            assert "a mistake" in w.runtime.begin(A).reason
            w.runtime.post(ev.Tick())
            assert len(w.written.steps) == written  # a replay could not tell what comes of it
        finally:
            await w.runtime.close()

    asyncio.run(scene())


def _raises(*_: object) -> None:
    raise ZeroDivisionError("a mistake")


def test_a_policy_that_raises_as_a_request_arrives() -> None:
    async def scene() -> None:
        w = world([A])
        await w.runtime.start()
        await until(lambda: w.runtime.ready)
        try:
            w.runtime.machine.door.admits = _raises
            ticket = w.runtime.begin(A)
            assert ticket.over and ticket.failure is Failure.INSTANCE_LOST and "a mistake" in ticket.reason
        finally:
            await w.runtime.close()

    asyncio.run(scene())


def test_a_broken_copy_is_taken_away_once_and_loaded_anew() -> None:
    async def scene(w: SimpleNamespace) -> None:
        await served(w, A)
        first, second = w.runtime.begin(A), w.runtime.begin(A)
        w.runtime.broken(first)
        w.runtime.broken(second)
        w.runtime.end(first)
        w.runtime.end(second)
        assert (await served(w, A)).tier is Tier.DISK
        assert w.provisioner.servers[0].calls == [("load", A), ("unload", A), ("load", A)]

    w = played(scene)
    assert len(w.written.events(ev.CopyLost)) == 1


def test_a_broken_copy_that_stays_costs_its_server() -> None:
    async def scene(w: SimpleNamespace) -> None:
        await served(w, A)
        w.provisioner.servers[0].unload = _hangs
        ticket = w.runtime.begin(A)
        w.runtime.broken(ticket)
        w.runtime.end(ticket)
        assert not (await served(w, A)).failure

    w = played(scene)
    assert [event.reason for event in w.written.events(ev.InstanceLost)] == ["a is broken, and stays: hangs"]


async def _hangs(model: str, timeout_s: float) -> None:
    raise ServerDown("hangs")


def test_a_removed_model_is_refused_although_it_is_loaded() -> None:
    async def scene(w: SimpleNamespace) -> None:
        await served(w, A)
        w.runtime.models.hidden = {A}
        await w.runtime.keeper.relist()
        assert w.runtime.begin(A).failure is Failure.NO_SUCH_MODEL
        w.runtime.models.hidden = set()
        await w.runtime.keeper.relist()
        assert (await served(w, A)).tier is Tier.GPU

    played(scene)


def test_an_archive_that_would_break_the_quota_is_not_fetched() -> None:
    """One that compresses so well that only its trailer tells."""
    class Bombs(FakeStore):
        async def unpacked_bytes(self, archive: object) -> int:
            return 1 << 40

    store = Bombs([A])

    async def scene(w: SimpleNamespace) -> None:
        ticket = await served(w, A)
        assert ticket.failure is Failure.LOAD_FAILED and "quota" in ticket.reason

    w = played(scene, [A], store=store)
    assert store.fetches == 0 and not w.written.actions(act.LoadModel)


def test_a_model_that_is_too_large_says_so() -> None:
    async def scene(w: SimpleNamespace) -> None:
        ticket = await served(w, A)
        assert ticket.failure is Failure.LOAD_FAILED
        assert ticket.reason == "it is expected to take 100 B of host memory, and a server has 50 B"

    played(scene, [A], room=0.5)


def test_a_call_that_is_cut_off_by_the_closing_of_its_channel_is_a_lost_server() -> None:
    """gRPC cancels it; the one that waits for it is not cancelled."""
    class Server(BaseServer):
        is_ready = index = load = unload = None  # type: ignore[assignment]

    async def scene() -> None:
        server = Server.__new__(Server)
        server.name, server._lost = "server-0", None
        call: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(server._unless_lost(call))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(ServerDown, match="server-0 was closed"):
            await waiting

    asyncio.run(scene())
