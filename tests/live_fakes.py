"""Servers, a store and a provisioner of live mode that keep everything in memory: for failures that are hard to have
of real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mmesim.core.types import EndpointSpec, InstanceSpec, ModelSpec
from mmesim.live.clock import Clock
from mmesim.live.models import Models
from mmesim.live.ports import Address, Archive, Fetched, FetchFailed, LoadRefused, Server, ServerDown, Taken
from mmesim.live.runtime import Periods, Runtime
from mmesim.live.setup import Setup
from mmesim.scenario.endpoint import Endpoint

SIZE = 100


class FakeServer:
    """Holds names. `down` refuses everything, `refuses[model]` a load."""

    def __init__(self, slot: int) -> None:
        self.name, self.address, self.repository = f"fake-{slot}", Address("", ""), Path(f"/fake/{slot}")
        self.loaded: set[str] = set()
        self.refuses: dict[str, LoadRefused] = {}
        self.down = False
        self.load_s = self.unload_s = 0.001
        self.calls: list[tuple[str, str]] = []

    def _up(self) -> None:
        if self.down:
            raise ServerDown("connection refused")

    async def is_ready(self) -> bool:
        return not self.down

    async def index(self) -> Mapping[str, str]:
        self._up()
        return dict.fromkeys(self.loaded, "READY")

    async def load(self, model: str, timeout_s: float) -> None:
        self.calls.append(("load", model))
        await asyncio.sleep(self.load_s)
        self._up()
        if model in self.refuses:
            raise self.refuses[model]
        self.loaded.add(model)

    async def unload(self, model: str, timeout_s: float) -> None:
        self.calls.append(("unload", model))
        await asyncio.sleep(self.unload_s)
        self._up()
        self.loaded.discard(model)

    async def taken(self, model: str) -> Taken | None:
        return None

    async def scrape(self) -> Mapping[str, float]:
        self._up()
        return {"LoadedModelCount": float(len(self.loaded))}

    async def close(self) -> None:
        pass


class FakeStore:
    """Archives by name; `disks[repository]`: the version of what lies there."""

    def __init__(self, names: list[str]) -> None:
        self.archives = {name: Archive(name, SIZE, "1") for name in names}
        self.disks: dict[Path, dict[str, str]] = {}
        self.fails = ""
        self.fetches = 0

    async def list(self) -> Mapping[str, Archive]:
        return dict(self.archives)

    async def unpacked_bytes(self, archive: Archive) -> int:
        return SIZE

    async def fetch(self, archive: Archive, repository: Path, limit_bytes: int) -> Fetched:
        await asyncio.sleep(0.001)
        self.fetches += 1
        if self.fails:
            raise FetchFailed(self.fails)
        self.disks.setdefault(repository, {})[archive.name] = archive.version
        return Fetched(SIZE, SIZE, 1000)

    async def delete(self, model: str, repository: Path) -> None:
        self.disks.setdefault(repository, {}).pop(model, None)

    async def manifests(self, repository: Path) -> Mapping[str, SimpleNamespace]:
        return {name: SimpleNamespace(version=version, disk_bytes=SIZE)
                for name, version in self.disks.get(repository, {}).items()}

    async def close(self) -> None:
        pass


class FakeProvisioner:
    """Makes servers; a restarted one has lost what it had loaded."""

    def __init__(self) -> None:
        self.servers: dict[int, FakeServer] = {}
        self.gone = False
        """No server can be started."""

    async def start(self, slot: int) -> Server:
        self.servers.setdefault(slot, FakeServer(slot))
        return self.servers[slot]

    async def stop(self, slot: int) -> None:
        self.servers.pop(slot, None)

    async def restart(self, slot: int) -> Server | None:
        if self.gone:
            raise ServerDown("it does not start")
        self.servers[slot] = FakeServer(slot)
        return self.servers[slot]

    async def close(self) -> None:
        pass


class Polling:
    """Looks every 10 ms; two failures in a row are a loss."""

    async def until_down(self, server: Server) -> str:
        failed = 0
        while failed < 2:
            await asyncio.sleep(0.01)
            failed = 0 if await server.is_ready() else failed + 1
        return "failed 2 health checks"

    async def until_up(self, server: Server) -> None:
        while not await server.is_ready():
            await asyncio.sleep(0.01)


class Written:
    """A sink that keeps everything; what nobody asks for is not looked at."""

    def __init__(self) -> None:
        self.steps: list[tuple[Any, tuple[Any, ...]]] = []

    def step(self, now_ns: int, event: Any, actions: tuple[Any, ...], decisions: tuple[Any, ...] = ()) -> None:
        self.steps.append((event, actions))

    def events(self, kind: type) -> list[Any]:
        return [event for event, _ in self.steps if isinstance(event, kind)]

    def actions(self, kind: type) -> list[Any]:
        return [action for _, actions in self.steps for action in actions if isinstance(action, kind)]

    def _nothing(self, *args: Any) -> None:
        pass

    arrived = sent = refused = departed = lost = _nothing


class NoMeter:
    """Measures nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **named: {} if name == "period" else None


def world(names: list[str], *, room: int = 2, instances: int = 1, store: FakeStore | None = None,
          provisioner: FakeProvisioner | None = None, periods: Periods | None = None,
          **settings: Any) -> SimpleNamespace:
    """A runtime on fakes: `room` models fit each of `instances` servers."""
    store, provisioner, written = store or FakeStore(names), provisioner or FakeProvisioner(), Written()
    endpoint = Endpoint.model_validate({"instances": instances, **settings})
    models = Models(store.archives.values(), lambda archive: ModelSpec(archive.name, 0, SIZE, SIZE, SIZE), spare=4)
    spec = EndpointSpec(InstanceSpec(0, room * SIZE, 1 << 20), max_instances=instances)
    setup = Setup("fake", 1, spec, endpoint, Path(), tuple(models.specs), instances)
    runtime = Runtime(setup, models, store, provisioner, NoMeter(), written, Clock(),  # type: ignore[arg-type]
                      periods or Periods(0, 0, 0), Polling())
    return SimpleNamespace(runtime=runtime, store=store, provisioner=provisioner, written=written, models=models)
