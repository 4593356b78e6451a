"""The composition root of live mode: from settings to a running endpoint, and its end."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from mmesim.errors import InputError, Problem
from mmesim.journal import LiveJournal
from mmesim.live import exposition
from mmesim.live.clock import Clock
from mmesim.live.config import LiveConfig
from mmesim.live.gateway import Gateway
from mmesim.live.gateway import serve as serve_gateway
from mmesim.live.gateway.management import ManagementApi, serve_management
from mmesim.live.meter import Meter
from mmesim.live.models import Models
from mmesim.live.office import Office, removed_before
from mmesim.live.ports import Archive, FetchFailed, Provisioner, Store
from mmesim.live.provision.fixed import FixedProvisioner
from mmesim.live.provision.local import LocalProvisioner
from mmesim.live.runtime import Periods, Runtime
from mmesim.live.servers import until_down, until_up
from mmesim.live.servers.base import BaseServer
from mmesim.live.servers.scrape import Whole
from mmesim.live.servers.settings import ServerSettings
from mmesim.live.store import ArchiveStore, open_store
from mmesim.triton.processes import started

log = logging.getLogger("mmesim.live")
T = TypeVar("T")


@dataclass(frozen=True)
class Live:
    """A running endpoint."""

    config: LiveConfig
    runtime: Runtime
    gateway: Gateway
    management: ManagementApi
    journal: LiveJournal


async def serve(config: LiveConfig, tell: Callable[[Live], None]) -> None:
    """Serve until SIGTERM or Ctrl-C, then drain; a second signal ends at once. `tell` is called when it listens.
    Raises InputError."""
    async with running(config) as live:
        tell(live)
        await _until_signalled()
        log.info("draining: %d requests in flight", len(live.runtime.machine.in_flight))
        await _unless_signalled(_drain(live))


@asynccontextmanager
async def running(config: LiveConfig) -> AsyncIterator[Live]:
    """The endpoint; everything that it started is ended with it."""
    async with AsyncExitStack() as stack:
        stack.enter_context(_alone(config.state_dir))
        store = open_store(config.store)
        stack.push_async_callback(store.close)
        models = Models((await _listed(store, config.state_dir)).values(), config.expect, config.models.spare)
        models.hidden = removed_before(config.state_dir)
        setup, clock, meter = config.setup(models.specs), Clock(), Meter(config.name)
        setup.policies()
        journal = LiveJournal(config.state_dir / "journal", setup, rotate_bytes=config.journal.rotate,
                              keep_bytes=config.journal.keep, flush_s=config.journal.flush,
                              started_unix_ns=clock.started_unix_ns)
        if config.shadow:
            stack.enter_context(_shadowed(config, journal.folder))
        stack.callback(journal.close)
        runtime = Runtime(setup, models, _Remembering(store, config.state_dir), _provisioner(config), meter, journal,
                          clock, _periods(config), _Health(config.server))
        stack.push_async_callback(runtime.close)
        if config.journal.decisions:
            runtime.machine.controller.explain_from_now_on()
        await runtime.start()
        gateway = await _opened(config, "gateway", serve_gateway(runtime, config.gateway))
        stack.push_async_callback(gateway.drain, 0.0)
        office = Office(runtime, config.state_dir, lambda: _page(runtime, store, journal))
        management = await _opened(config, "management", serve_management(office, config.management,
                                                                          config.gateway.drain_timeout))
        stack.push_async_callback(management.close)
        yield Live(config, runtime, gateway, management, journal)


async def _opened(config: LiveConfig, what: str, opening: Awaitable[T]) -> T:
    """A listener. Raises InputError when its address cannot be had."""
    listen = getattr(config, what)
    try:
        return await opening
    except OSError as error:
        raise InputError(Problem(f"cannot listen on {listen.host}:{listen.port}: {error.strerror or error}",
                                 path=f"{what}.port", hint="another port? 0 takes a free one")) from error


def _page(runtime: Runtime, store: ArchiveStore, journal: LiveJournal) -> bytes:
    """The metrics, with the health of this program's own parts."""
    runtime.meter.health = {
        "mmesim_journal_lines": journal.lines, "mmesim_journal_bytes": journal.written_bytes,
        "mmesim_journal_stopped": bool(journal.stopped), "mmesim_requests_in_flight": len(runtime.machine.in_flight),
        "mmesim_servers_in_service": len(runtime.fleet.in_service), "mmesim_models": len(runtime.models.archives),
        "mmesim_ready": runtime.ready,
        **{f"mmesim_store_{name}": value for name, value in asdict(store.meters).items()}}
    return exposition.page(runtime.meter)


async def _drain(live: Live) -> None:
    timeout_s = live.config.gateway.drain_timeout
    await asyncio.gather(live.runtime.drain(timeout_s), live.gateway.drain(timeout_s))


async def _until_signalled() -> None:
    signalled = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled.set)
    await signalled.wait()


async def _unless_signalled(work: Coroutine[Any, Any, None]) -> None:
    """Do it, but leave off at a signal."""
    working = asyncio.create_task(work)
    again = asyncio.create_task(_until_signalled())
    await asyncio.wait([working, again], return_when=asyncio.FIRST_COMPLETED)
    for task in (working, again):
        task.cancel()
    await asyncio.gather(working, again, return_exceptions=True)


def _provisioner(config: LiveConfig) -> Provisioner:
    whole = Whole(config.capacity.host_memory, config.capacity.disk)
    if config.servers:
        return FixedProvisioner(config.servers, config.server, whole)
    return LocalProvisioner(config.state_dir / "servers", config.local, config.server, whole)


def _periods(config: LiveConfig) -> Periods:
    return Periods(config.reconcile, config.list_models, config.endpoint.metrics.period)


class _Health:
    """Watches servers by their health checks and processes."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings

    async def until_down(self, server: BaseServer) -> str:
        """See :class:`mmesim.live.fleet.Watch`."""
        return await until_down(server, self._settings)

    async def until_up(self, server: BaseServer) -> None:
        """See :class:`mmesim.live.fleet.Watch`."""
        await until_up(server, self._settings)


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """The state's folder, which one endpoint uses at a time. Raises InputError."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(Problem("another endpoint is running on this state", file=str(state),
                                     hint="end it, or name another folder with --set state=FOLDER")) from None
        yield


@contextmanager
def _shadowed(config: LiveConfig, journal: Path) -> Iterator[None]:
    """A second endpoint's decisions, made from the journal in a process of its own: it cannot disturb this one."""
    command = [sys.executable, "-m", "mmesim", "live", "shadow", str(journal), "--follow",
               *(word for setting in config.shadow for word in ("--set", setting))]
    with started([*NICE, *command], f"shadow {os.getpid()}", config.state_dir / "shadow.log",
                 {"PYTHONPATH": os.pathsep.join(sys.path)}) as process:
        yield
        with suppress(subprocess.TimeoutExpired):
            process.wait(SHADOW_END_S)


SHADOW_END_S = 30.0
"""From the end of the journal until the shadow has said what the second endpoint would have saved."""
NICE = ("nice", "-n", "10")
"""The shadow steps back behind those who serve."""


async def _listed(store: Store, state: Path) -> Mapping[str, Archive]:
    """The store's list; while the store is down, the one it gave last. Raises InputError."""
    try:
        return await store.list()
    except FetchFailed as error:
        try:
            remembered = json.loads((state / MODELS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise InputError(Problem(f"the store does not list its models: {error}", path="store.source",
                                     hint="is it there, and reachable from here?")) from error
        log.warning("the store is down (%s): going on with the %d models it had", error, len(remembered))
        return {row["name"]: Archive(**row) for row in remembered}


MODELS = "models.json"
"""The store's last list, in the state's folder."""


class _Remembering:
    """A store whose last list is kept, for a start while it is down."""

    def __init__(self, store: Store, state: Path) -> None:
        self._store = store
        self._state = state
        self.unpacked_bytes, self.fetch, self.delete = store.unpacked_bytes, store.fetch, store.delete
        self.manifests, self.close = store.manifests, store.close
        self._kept: Mapping[str, Archive] = {}

    async def list(self) -> Mapping[str, Archive]:
        """The models that exist now."""
        archives = await _listed(self._store, self._state) if not self._kept else await self._store.list()
        if archives != self._kept:
            scratch = self._state / f".{MODELS}"
            scratch.write_text(json.dumps([asdict(archive) for archive in archives.values()]), encoding="utf-8")
            scratch.replace(self._state / MODELS)
            self._kept = dict(archives)
        return archives
