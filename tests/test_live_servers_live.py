"""Both dialects of model control on a real Triton: loads that work, fail, run out of memory and out of time; a server
that is frozen, killed and started anew; levels and memory."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("grpc")
pytest.importorskip("aiohttp")
from live_triton import program, timed, write_models

from mmesim.live.ports import LoadRefused, ServerDown
from mmesim.live.provision import FixedProvisioner
from mmesim.live.servers import connect, until_down, until_up
from mmesim.live.servers.base import BaseServer
from mmesim.live.servers.settings import RunningServer, ServerSettings
from mmesim.triton.processes import end_marked
from mmesim.triton.server import TritonServer, free_ports, running_server

SETTINGS = ServerSettings(measure="process", call_timeout="2s")
LOAD_S, UNLOAD_S = 20.0, 10.0
NOTICED_S = 3.0
"""A frozen server is noticed within this time, with the settings' defaults (2.4 to 2.9 s)."""


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TritonServer, RunningServer]]:
    folder = tmp_path_factory.mktemp("triton")
    repository = write_models(folder / "models")
    with running_server(program(), repository, mark=f"servers {os.getpid()}", log=folder / "log") as server:
        yield server, RunningServer(name="t", http=server.http_url[7:], grpc=server.grpc_url,
                                    metrics=server.metrics_url[7:].partition("/")[0], repository=repository)


@pytest.fixture(scope="module")
def sagemaker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TritonServer, RunningServer]]:
    """Its own repository is empty: models come by the contract alone."""
    folder, port = tmp_path_factory.mktemp("sagemaker"), free_ports(1)[0]
    (folder / "empty").mkdir()
    arguments = ("--allow-sagemaker=true", f"--sagemaker-port={port}")
    with running_server(program(), folder / "empty", mark=f"sagemaker {os.getpid()}", log=folder / "log",
                        arguments=arguments) as server:
        yield server, RunningServer(name="s", dialect="sagemaker", sagemaker=f"127.0.0.1:{port}", http="", grpc="",
                                    metrics="", repository=write_models(folder / "models"))


@pytest.fixture(params=["triton", "sagemaker"])
def each(request: pytest.FixtureRequest) -> tuple[TritonServer, RunningServer]:
    found: tuple[TritonServer, RunningServer] = request.getfixturevalue(request.param)
    return found


def played(running: RunningServer, scene: Callable[[BaseServer], Awaitable[None]],
           settings: ServerSettings = SETTINGS) -> None:
    """The scene, with everything unloaded at its end."""
    async def play() -> None:
        server = connect(running, settings)
        try:
            await asyncio.wait_for(scene(server), 60)
            for model, state in (await server.index()).items():
                if state != "UNAVAILABLE":
                    await server.unload(model, UNLOAD_S)
        finally:
            await server.close()

    asyncio.run(play())


async def ready(server: BaseServer) -> set[str]:
    return {model for model, state in (await server.index()).items() if state == "READY"}


def test_load_and_unload_side_by_side(each: tuple[TritonServer, RunningServer]) -> None:
    async def scene(server: BaseServer) -> None:
        assert await server.is_ready()
        index = await server.index()
        assert set(index.values()) == {"UNAVAILABLE"}
        assert "big" in index
        await asyncio.gather(server.load("a", LOAD_S), server.load("b-2.x", LOAD_S))
        assert await ready(server) == {"a", "b-2.x"}
        await server.load("a", LOAD_S)  # loaded already
        await server.unload("a", UNLOAD_S)
        assert await ready(server) == {"b-2.x"}
        await server.unload("a", UNLOAD_S)  # unloaded already
        await server.unload("nobody", UNLOAD_S)

    played(each[1], scene)


def test_a_load_that_fails_says_why_and_whether_memory_was_short(each: tuple[TritonServer, RunningServer]) -> None:
    async def scene(server: BaseServer) -> None:
        for model, words, out_of_memory in (("bad", "no such layer: 17", False), ("oom", "CUDA out of memory", True)):
            with pytest.raises(LoadRefused, match=words) as caught:
                await server.load(model, LOAD_S)
            assert caught.value.out_of_memory == out_of_memory
        assert await server.is_ready()
        assert await ready(server) == set()

    played(each[1], scene)


def test_an_unknown_model_is_refused(triton: tuple[TritonServer, RunningServer]) -> None:
    async def scene(server: BaseServer) -> None:
        with pytest.raises(LoadRefused, match="nobody"):
            await server.load("nobody", LOAD_S)

    played(triton[1], scene)


def test_a_load_out_of_time_goes_on_in_the_server(each: tuple[TritonServer, RunningServer]) -> None:
    """Health and index do not wait for it; the second attempt does: nothing is loaded twice."""
    async def scene(server: BaseServer) -> None:
        with pytest.raises(LoadRefused, match=r"timed out: slow is not loaded after 0\.3 s"):
            await server.load("slow", 0.3)
        assert await timed(server.is_ready()) < 0.5
        assert await timed(server.index()) < 0.5
        assert "slow" not in await ready(server)
        await server.load("slow", LOAD_S)
        assert await ready(server) == {"slow"}

    played(each[1], scene)


def test_an_unload_of_what_is_loading_waits_for_it(triton: tuple[TritonServer, RunningServer]) -> None:
    async def scene(server: BaseServer) -> None:
        with pytest.raises(LoadRefused):
            await server.load("slow", 0.3)
        assert (await server.index())["slow"] == "LOADING"
        await server.unload("slow", UNLOAD_S)
        assert (await server.index())["slow"] == "UNAVAILABLE"

    played(triton[1], scene)


def test_levels_are_sane(triton: tuple[TritonServer, RunningServer]) -> None:
    """No GPU here: nothing is said of it. Its processes are not ours to look at: no CPU."""
    async def scene(server: BaseServer) -> None:
        await server.load("a", LOAD_S)
        client = triton[0].client()
        request = client.request("a", 1, {})
        for _ in range(5):
            client.infer(request)
        client.close()
        levels = await server.scrape()
        assert levels["LoadedModelCount"] == 1
        assert levels["nv_inference_request_success"] >= 5
        assert 0 < levels["DiskUtilization"] < 100
        assert not {name for name in levels if name.startswith(("GPU", "CPU"))}

    played(triton[1], scene)


def test_a_frozen_server_is_noticed_and_found_again(each: tuple[TritonServer, RunningServer]) -> None:
    """A call under way ends with the news, long before its own time-out."""
    server_process, running = each

    async def scene(server: BaseServer) -> None:
        os.kill(server_process.pid, signal.SIGSTOP)
        try:
            loading = asyncio.create_task(timed(server.load("a", 60)))
            assert await timed(until_down(server, SETTINGS)) < NOTICED_S
            assert await loading < NOTICED_S + 0.1
            for call in (server.index(), server.unload("a", 1.0), server.scrape()):
                with pytest.raises(ServerDown):
                    await call
        finally:
            os.kill(server_process.pid, signal.SIGCONT)
        assert await timed(until_up(server, SETTINGS)) < 2

    played(running, scene)


def test_a_load_on_a_server_that_freezes_is_no_refusal(triton: tuple[TritonServer, RunningServer]) -> None:
    async def scene(server: BaseServer) -> None:
        assert await server.is_ready()
        os.kill(triton[0].pid, signal.SIGSTOP)
        try:
            with pytest.raises(ServerDown, match="does not answer any more"):
                await server.load("a", 0.5)
        finally:
            os.kill(triton[0].pid, signal.SIGCONT)
        await until_up(server, SETTINGS)

    played(triton[1], scene)


def test_a_server_that_is_killed_and_started_anew_is_found_at_its_address(tmp_path: Path) -> None:
    """A foreign one: nobody here sees its process end, or starts it."""
    repository, port = write_models(tmp_path / "models", "a", "slow"), free_ports(1)[0]

    async def play() -> None:
        running = RunningServer(name="f", grpc=f"127.0.0.1:{port}", metrics="", repository=repository)
        provisioner = FixedProvisioner([running], SETTINGS)
        with pytest.raises(ServerDown, match="f does not answer"):
            await provisioner.start(0)
        arguments, mark = (f"--grpc-port={port}",), f"foreign {os.getpid()}"
        with running_server(program(), repository, mark=mark, log=tmp_path / "log",
                            arguments=arguments) as process:
            server = await provisioner.start(0)
            assert isinstance(server, BaseServer)
            loading = asyncio.create_task(server.load("slow", LOAD_S))
            await asyncio.sleep(0.3)
            os.kill(process.pid or 0, signal.SIGKILL)
            with pytest.raises(ServerDown):
                await asyncio.wait_for(loading, 1)
            end_marked(mark, grace_s=0)  # its stub, which does not heed a SIGTERM
            assert await timed(until_down(server, SETTINGS)) < 2
            assert await provisioner.restart(0) is None
        with running_server(program(), repository, mark=mark, log=tmp_path / "log",
                            arguments=arguments):
            assert await timed(until_up(server, SETTINGS)) < 2
            assert set((await server.index()).values()) == {"UNAVAILABLE"}
            await server.load("a", LOAD_S)
        await provisioner.close()

    asyncio.run(play())
