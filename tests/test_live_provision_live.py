"""Servers that are started here: side by side, restarted in place, frozen and killed, and none left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

pytest.importorskip("grpc")
pytest.importorskip("aiohttp")
pytest.importorskip("uvloop")
import uvloop
from live_triton import ROOT, add_model, program, timed, until

from mmesim.errors import InputError
from mmesim.live.ports import ServerDown
from mmesim.live.provision import LocalProvisioner
from mmesim.live.provision.settings import LocalSettings
from mmesim.live.servers import TritonAdapter, until_down
from mmesim.live.servers.settings import ServerSettings
from mmesim.triton.processes import GUARD_GRACE_S, SHARED_MEMORY, marked

SETTINGS = ServerSettings(measure="process")
LOCAL = LocalSettings(stop_grace="3s")
LOAD_S = 20.0


def played(root: Path, scene: Callable[[LocalProvisioner], Awaitable[None]], local: LocalSettings = LOCAL) -> None:
    """The scene; afterwards no process and no shared memory may be left."""
    program()

    async def play() -> tuple[str, str]:
        provisioner = LocalProvisioner(root, local, SETTINGS)
        try:
            await asyncio.wait_for(scene(provisioner), 60)
        finally:
            await provisioner.close()
        return provisioner.mark, provisioner.segments

    mark, segments = uvloop.run(play())
    assert marked(mark) == []
    assert list(SHARED_MEMORY.glob(f"{segments}*")) == []


async def started(provisioner: LocalProvisioner, slot: int, *models: str) -> TritonAdapter:
    """A server with these models loaded."""
    server = await provisioner.start(slot)
    assert isinstance(server, TritonAdapter)
    for model in models:
        if not (server.repository / model).exists():
            add_model(server.repository, model)
        await server.load(model, LOAD_S)
    return server


def test_two_servers_side_by_side_and_one_scaled_in(tmp_path: Path) -> None:
    async def scene(provisioner: LocalProvisioner) -> None:
        one, two = await asyncio.gather(started(provisioner, 0, "a"), started(provisioner, 1, "big"))
        assert {one.name, two.name} == {"server-0", "server-1"}
        assert (await one.index(), await two.index()) == ({"a": "READY"}, {"big": "READY"})
        first, levels = await one.scrape(), await one.scrape()
        assert "CPUUtilization" not in first, "a rate needs two looks"
        assert 0 <= levels["CPUUtilization"] < 100 * (os.cpu_count() or 1)
        assert 0 < levels["MemoryUtilization"] < 100
        small, big = await one.taken("a"), await two.taken("big")
        assert small is not None and big is not None and await one.taken("big") is None
        assert small.gpu_bytes == big.gpu_bytes == 0
        assert 5 << 20 < small.host_bytes < 200 << 20
        assert (big.host_bytes - small.host_bytes) / (92 << 20) == pytest.approx(1, abs=0.15), "its weights: 96 MiB, 4"
        repository = two.repository
        await provisioner.stop(1)
        assert not repository.exists(), "scaled in: its disk is emptied"
        assert len(marked(f"{provisioner.mark}/1")) == 0 < len(marked(f"{provisioner.mark}/0"))
        assert (await one.index())["a"] == "READY", "the other one goes on"

    played(tmp_path / "servers", scene)


def test_a_killed_server_is_noticed_at_once_and_restarted_with_its_disk(tmp_path: Path) -> None:
    """Its stub, which goes on by itself, is ended, and so is its shared memory."""
    async def scene(provisioner: LocalProvisioner) -> None:
        server = await started(provisioner, 0, "a")
        pids, down = marked(f"{provisioner.mark}/0"), asyncio.create_task(until_down(server, SETTINGS))
        await asyncio.sleep(0.1)
        os.kill(min(pids), signal.SIGKILL)
        assert await timed(down) < 0.3
        assert down.result() == "was ended by SIGKILL"
        fresh = await provisioner.restart(0)
        assert await fresh.is_ready()
        assert dict(await fresh.index()) == {"a": "UNAVAILABLE"}, "its disk stays, its memory does not"
        assert not set(pids) & set(marked(provisioner.mark))
        await fresh.load("a", LOAD_S)

    played(tmp_path / "servers", scene)


def test_a_frozen_server_is_restarted(tmp_path: Path) -> None:
    async def scene(provisioner: LocalProvisioner) -> None:
        server = await started(provisioner, 0)
        pid = min(marked(f"{provisioner.mark}/0"))
        os.kill(pid, signal.SIGSTOP)
        assert await timed(until_down(server, SETTINGS)) < 3
        assert await timed(provisioner.restart(0)) < 10
        assert pid not in marked(provisioner.mark)
        os.kill(min(marked(f"{provisioner.mark}/0")), signal.SIGSTOP)  # close() ends it all the same

    played(tmp_path / "servers", scene)


def test_what_does_not_start_says_why(tmp_path: Path) -> None:
    async def scene(provisioner: LocalProvisioner) -> None:
        with pytest.raises(ServerDown, match=r"server-0 does not start: ended with exit code 1: (.|\n)*failed to load"):
            await provisioner.start(0)

    played(tmp_path / "servers", scene, LocalSettings(arguments=("--load-model=nobody",)))


def test_a_folder_has_one_user_at_a_time(tmp_path: Path) -> None:
    async def scene(provisioner: LocalProvisioner) -> None:
        with pytest.raises(InputError, match="another live endpoint runs its servers here"):
            LocalProvisioner(tmp_path / "servers", LOCAL, SETTINGS)

    played(tmp_path / "servers", scene)


CHILD = """\
import asyncio, json, sys
from pathlib import Path
from live_triton import add_model
from mmesim.live.provision import LocalProvisioner
from mmesim.live.provision.settings import LocalSettings
from mmesim.live.servers.settings import ServerSettings

async def main():
    provisioner = LocalProvisioner(Path(sys.argv[1]), LocalSettings(), ServerSettings())
    server = await provisioner.start(0)
    add_model(server.repository, "a")
    await server.load("a", 20)
    print(json.dumps([provisioner.mark, provisioner.segments]), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def parent_with_a_server(root: Path) -> subprocess.Popen[bytes]:
    """A program that has started a server and loaded a model; its first line tells its mark and its shared memory."""
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    return subprocess.Popen([sys.executable, "-c", CHILD, root], stdout=subprocess.PIPE, env=env)


def told(parent: subprocess.Popen[bytes]) -> tuple[str, str]:
    assert parent.stdout is not None
    mark, segments = json.loads(parent.stdout.readline())
    assert len(marked(mark)) == 2, "a server and a stub"
    assert list(SHARED_MEMORY.glob(f"{segments}*"))
    return mark, segments


def killed(parent: subprocess.Popen[bytes]) -> None:
    parent.kill()
    parent.wait()


def test_nothing_outlives_its_parent(tmp_path: Path) -> None:
    """kill -9 of the parent while its server is well, is frozen, or has been killed and left a stub."""
    program()
    parents = {trouble: parent_with_a_server(tmp_path / trouble) for trouble in ("none", "frozen", "killed")}
    try:
        marks = {trouble: told(parent) for trouble, parent in parents.items()}
        os.kill(min(marked(marks["frozen"][0])), signal.SIGSTOP)
        os.kill(min(marked(marks["killed"][0])), signal.SIGKILL)
    finally:
        for parent in parents.values():
            killed(parent)
    began_s = time.monotonic()
    for trouble, (mark, segments) in sorted(marks.items()):
        asyncio.run(until(lambda mark=mark: not marked(mark), 15))
        asyncio.run(until(lambda segments=segments: not list(SHARED_MEMORY.glob(f"{segments}*")), 5))
        print(f"{trouble}: gone after at most {time.monotonic() - began_s:.1f} s")


def test_a_new_run_at_once_after_a_kill_is_not_touched_by_the_guard_of_the_old(tmp_path: Path) -> None:
    """The new one ends what the old one has left, a frozen server too, and finds its disk."""
    program()
    parent = parent_with_a_server(tmp_path / "servers")
    try:
        old_mark, _ = told(parent)
        os.kill(min(marked(old_mark)), signal.SIGSTOP)
    finally:
        killed(parent)

    async def scene(provisioner: LocalProvisioner) -> None:
        assert marked(old_mark) == []
        server = await started(provisioner, 0, "a")
        await asyncio.sleep(GUARD_GRACE_S + 0.5)
        assert dict(await server.index()) == {"a": "READY"}

    played(tmp_path / "servers", scene)
