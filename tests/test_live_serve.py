"""`mmesim live serve` as a whole, in this process: the example endpoint from nothing, and servers that come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from mmesim.core import actions as act
from mmesim.core import events as ev
from mmesim.errors import InputError
from mmesim.journal import open_journal
from mmesim.live.config import load_config
from mmesim.live.example import write_live_example
from mmesim.live.replay import replay, setup_of
from tests.live_triton import program

QUIET = ("gateway.port=0", "gateway.grpc_port=null", "management.port=0", "store.min_free=0B", "store.fsync=false")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program()
    return write_live_example(tmp_path_factory.mktemp("live") / "try")


def served(settings: Path, state: Path, scene: Callable[[Any, Any], Awaitable[None]], *overrides: str) -> Path:
    """Plays a scene with a running endpoint and an HTTP session; the journal's folder."""
    import aiohttp

    from mmesim.live.serve import running

    async def play() -> Path:
        async with running(load_config(settings, (*QUIET, f"state={state}", *overrides))) as live, \
                aiohttp.ClientSession() as http:
            async with asyncio.timeout(120):
                await until(lambda: live.runtime.ready)
                await scene(live, http)
            assert live.runtime.failed is None
            live.runtime.machine.check()
        return live.journal.folder

    return asyncio.run(play())


async def until(condition: Callable[[], Any], within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.05)


def invocation(live: Any, settings: Path, model: str) -> dict[str, Any]:
    return {"url": f"http://127.0.0.1:{live.gateway.port}/endpoints/try-it/invocations",
            "data": (settings.parent / "request.json").read_bytes(),
            "headers": {"X-Amzn-SageMaker-Target-Model": model}}


def test_the_example_from_nothing(example: Path, tmp_path: Path) -> None:
    """Six models where four fit: all are served, one leaves for each that has no room; a fresh controller agrees."""
    async def scene(live: Any, http: Any) -> None:
        for name in ("sleepy-00", "sleepy-01", "sleepy-02", "sleepy-03", "sleepy-04", "sleepy-00"):
            async with http.post(**invocation(live, example, name)) as answer:
                assert answer.status == 200, await answer.text()
                assert (await answer.json())["outputs"][0]["data"][3] == 3.0
        state = await (await http.get(f"http://127.0.0.1:{live.management.port}/state")).json()
        standing = list(state["instances"][0]["models"].values())
        assert standing.count("READY") == 4 and standing.count("ON_DISK") == 1

    journal = served(example, tmp_path, scene)
    with open_journal(journal) as reader:
        outcome = replay(reader, setup_of(reader))
    assert outcome.is_equal, outcome.difference
    assert outcome.counts["requests"] == 6 and outcome.counts["evictions"] == 2


def test_servers_come_and_go_under_an_autoscaling_policy(example: Path, tmp_path: Path) -> None:
    """Load brings a second tritonserver, which joins empty; when it is over one is drained and ended."""
    async def scene(live: Any, http: Any) -> None:
        async def ask() -> int:
            async with http.post(**invocation(live, example, "sleepy-00")) as answer:
                await answer.read()
                return int(answer.status)

        async def many() -> None:
            while len(live.runtime.fleet.in_service) < 2:
                statuses.extend(await asyncio.gather(*(ask() for _ in range(4))))

        statuses: list[int] = []
        async with asyncio.timeout(60):
            await many()
        assert set(statuses) == {200}
        assert not live.runtime.machine.controller.endpoint.fleet[1].ready
        gone = live.runtime.fleet.server(0), live.runtime.fleet.server(1)
        await until(lambda: len(live.runtime.fleet.members) == 1)
        left = live.runtime.fleet.in_service[0]
        await until(gone[1 - left].exited.done)
        assert await ask() == 200

    policy = ("{use: target_tracking, metric: InvocationsPerInstance, target: 20, scale_out_cooldown: 2s, "
              "scale_in_cooldown: 2s}")
    journal = served(example, tmp_path, scene, "endpoint.instances={initial: 1, min: 1, max: 2}",
                     f"endpoint.autoscaling=[{policy}]", "endpoint.metrics.period=1s")
    with open_journal(journal) as reader:
        outcome = replay(reader, setup_of(reader))
    assert outcome.is_equal, outcome.difference
    with open_journal(journal) as reader:
        steps = list(reader.steps())
    done = [action for step in steps for action in step.actions]
    assert [action.count for action in done if isinstance(action, act.SetDesiredInstances)] == [2, 1]
    assert any(isinstance(action, act.TerminateInstance) for action in done)
    assert sum(isinstance(step.event, ev.InstanceJoined) for step in steps) == 2


def test_settings_that_are_wrong_are_told_at_once(example: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="knows the requests to come"):
        load_config(example, ("endpoint.eviction.gpu=belady",))
    with pytest.raises(InputError, match=r"gateway\.prt"):
        load_config(example, ("gateway.prt=1",))
    broken = tmp_path / "live.yaml"
    broken.write_text("store: {source: models}\nendpoint: {eviction: {gpu: lrru}}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"live\.yaml") as error:
        load_config(broken)
    assert "lru" in str(error.value)
