"""The live loop on servers in memory: cold starts, losses, reconciliation, models that come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest

from mmesim.core import actions as act
from mmesim.core import events as ev
from mmesim.core.types import Failure, Tier
from mmesim.live import runtime
from mmesim.live.ports import Archive, LoadRefused, Ticket
from tests.live_fakes import FakeProvisioner, FakeServer, FakeStore, world

A, B, C = "a", "b", "c"


def played(scene: Callable[[SimpleNamespace], Awaitable[None]], names: list[str] | None = None,
           **settings: object) -> SimpleNamespace:
    """The world after the scene."""
    async def play() -> SimpleNamespace:
        w = world(names or [A, B, C], **settings)  # type: ignore[arg-type]
        await w.runtime.start()
        await until(lambda: w.runtime.ready)
        try:
            await asyncio.wait_for(scene(w), 10)
            assert w.runtime.failed is None
            w.runtime.machine.check()
        finally:
            await w.runtime.close()
        return w

    return asyncio.run(play())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


async def served(w: SimpleNamespace, name: str) -> Ticket:
    """One request, answered as soon as it is sent."""
    ticket = w.runtime.begin(name)
    await w.runtime.wait(ticket)
    if not ticket.over:
        w.runtime.end(ticket)
    return ticket


def test_a_cold_start_then_a_hit() -> None:
    async def scene(w: SimpleNamespace) -> None:
        first, second = await served(w, A), await served(w, A)
        assert (first.tier, second.tier) == (Tier.S3, Tier.GPU)
        assert not first.failure and not second.held

    w = played(scene)
    assert [type(one) for one in w.written.actions(object)] == [act.StartDownload, act.LoadModel, act.Dispatch]


def test_waiters_share_one_load_and_the_third_model_makes_one_leave() -> None:
    async def scene(w: SimpleNamespace) -> None:
        await asyncio.gather(*(served(w, A) for _ in range(5)))
        await served(w, B)
        await served(w, C)
        assert (await served(w, A)).tier is Tier.DISK

    w = played(scene)
    assert len(w.written.actions(act.LoadModel)) == 4
    assert [w.models.names[one.model] for one in w.written.actions(act.UnloadModel)] == [A, B]


def test_an_unknown_model_and_a_load_that_fails() -> None:
    async def scene(w: SimpleNamespace) -> None:
        assert w.runtime.begin("nobody").failure is Failure.NO_SUCH_MODEL
        w.provisioner.servers[0].refuses[A] = LoadRefused("no such file: model.pt")
        ticket = await served(w, A)
        assert ticket.failure is Failure.LOAD_FAILED
        assert "model.pt" in ticket.reason
        assert w.runtime.begin(A).failure is Failure.LOAD_FAILED  # refused for a while, without another try

    played(scene)


def test_a_store_that_is_down_fails_the_waiters_and_leaves_nothing() -> None:
    async def scene(w: SimpleNamespace) -> None:
        w.store.fails = "503 Slow Down"
        ticket = await served(w, A)
        assert ticket.failure is Failure.LOAD_FAILED and "503" in ticket.reason
        w.runtime.machine.table.model.failed_until_ns[:] = 0
        w.store.fails = ""
        assert not (await served(w, A)).failure

    played(scene)


def test_requests_move_on_when_their_server_is_lost() -> None:
    """In flight and held ones: a dead server comes back with its disk, and all are answered."""
    async def scene(w: SimpleNamespace) -> None:
        await served(w, A)
        sent, held = w.runtime.begin(A), w.runtime.begin(B)
        waiting = asyncio.create_task(w.runtime.wait(held))
        w.provisioner.servers[0].down = True
        again = w.runtime.again(sent)
        assert again.must_wait
        await w.runtime.wait(again)
        await waiting
        assert again.failure is Failure.NONE and again.attempt == 2
        assert held.failure is Failure.NONE
        w.runtime.end(again)
        w.runtime.end(held)
        assert w.store.fetches <= 3  # that of B may have been cut off

    w = played(scene)
    assert w.written.events(ev.InstanceLost) and len(w.written.events(ev.InstanceJoined)) == 2


def test_what_servers_hold_at_the_start_is_served_at_once() -> None:
    """A server that outlived its endpoint: loaded models are hits, files are not fetched again."""
    provisioner, store = FakeProvisioner(), FakeStore([A, B, C])
    server = provisioner.servers[0] = FakeServer(0)
    server.loaded = {A, "stray"}
    store.disks[server.repository] = {A: "1", B: "1", "litter": "1"}

    async def scene(w: SimpleNamespace) -> None:
        assert (await served(w, A)).tier is Tier.GPU
        assert (await served(w, B)).tier is Tier.DISK
        await until(lambda: "litter" not in store.disks[server.repository])
        assert server.loaded == {A, B}

    played(scene, store=store, provisioner=provisioner)
    assert store.fetches == 0


def test_a_copy_that_vanished_is_loaded_again() -> None:
    async def scene(w: SimpleNamespace) -> None:
        await served(w, A)
        w.provisioner.servers[0].loaded.clear()
        found = await w.runtime.keeper.reconcile()
        assert found[0].lost == [(A, True)]
        assert (await served(w, A)).tier is Tier.DISK
        assert not await w.runtime.keeper.reconcile()

    played(scene)


def test_models_come_and_go_while_it_runs() -> None:
    async def scene(w: SimpleNamespace) -> None:
        w.store.archives["new"] = Archive("new", 100, "1")
        del w.store.archives[B]
        await w.runtime.keeper.relist()
        assert not (await served(w, "new")).failure
        assert (await served(w, B)).failure is Failure.NO_SUCH_MODEL
        await served(w, A)
        await served(w, C)  # one of the others leaves
        w.store.archives["new"] = Archive("new", 100, "2")
        fetches = w.store.fetches
        await w.runtime.keeper.relist()
        await served(w, "new")
        assert w.store.fetches == fetches + 1  # the old version's files are not used

    played(scene)


def test_a_held_request_ends_when_its_time_is_over_and_when_its_client_goes() -> None:
    async def scene(w: SimpleNamespace) -> None:
        w.provisioner.servers[0].load_s = 0.4
        slow, gone = w.runtime.begin(A), w.runtime.begin(A)
        leaving = asyncio.create_task(w.runtime.wait(gone))
        await asyncio.sleep(0.01)
        leaving.cancel()
        await w.runtime.wait(slow)
        assert slow.failure is Failure.MODEL_NOT_READY and gone.over
        await until(lambda: bool(w.provisioner.servers[0].loaded))  # the load itself goes on
        assert not (await served(w, A)).failure

    played(scene, server={"invocation_timeout": "200ms"})


def test_another_instance_comes_and_a_drained_one_goes() -> None:
    async def scene(w: SimpleNamespace) -> None:
        await until(lambda: len(w.runtime.fleet.in_service) == 2)
        for name in (A, B, C):
            await served(w, name)
        assert {ticket.instance for ticket in [await served(w, n) for n in (A, B, C)]} == {0, 1}

    played(scene, instances=2)


def test_draining_refuses_new_requests_and_waits_for_the_others() -> None:
    async def scene(w: SimpleNamespace) -> None:
        ticket = w.runtime.begin(A)
        draining = asyncio.create_task(w.runtime.drain(5))
        await asyncio.sleep(0)
        assert not w.runtime.ready and w.runtime.begin(A).failure is Failure.INSTANCE_LOST
        await w.runtime.wait(ticket)
        w.runtime.end(ticket)
        assert await draining == 0

    played(scene)


def test_a_request_that_comes_before_the_first_server_waits_for_it() -> None:
    async def play() -> None:
        w = world([A])
        await w.runtime.start()
        assert not w.runtime.ready
        ticket = w.runtime.begin(A)
        assert ticket.must_wait and not ticket.failure
        await w.runtime.wait(ticket)
        assert ticket.failure is Failure.NONE and ticket.attempt == 1
        w.runtime.end(ticket)
        await w.runtime.close()

    asyncio.run(play())


def test_a_request_does_not_wait_for_ever_for_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "SERVER_WAIT_S", 0.05)

    async def scene(w: SimpleNamespace) -> None:
        w.provisioner.servers[0].down = w.provisioner.gone = True
        await until(lambda: not w.runtime.ready)
        ticket = w.runtime.begin(A)
        await w.runtime.wait(ticket)
        assert ticket.failure is Failure.INSTANCE_LOST

    played(scene)


def test_a_request_that_was_just_let_go_moves_on_too() -> None:
    """Its server is lost between the decision that it may be sent and the sending."""
    async def scene(w: SimpleNamespace) -> None:
        release, struck = w.runtime.machine._release, []

        def strike(ticket: Ticket) -> None:
            if not struck:
                struck.append(ticket)
                asyncio.get_running_loop().call_soon(w.runtime.fleet.give_up, 0, "struck")
            release(ticket)

        w.runtime.machine._release = strike
        ticket = await served(w, A)
        assert struck == [ticket]
        assert ticket.failure is Failure.NONE and ticket.attempt == 2

    w = played(scene)
    assert len(w.written.events(ev.InstanceLost)) == 1
