"""The controller's actions carried out: a task for each, and exactly one event as the answer of each that starts work.

What is done to one model on one instance is done in order. What ends after its instance was lost is no news.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from mmesim.core import actions as act
from mmesim.core import events as ev
from mmesim.live.clock import Clock
from mmesim.live.fleet import Fleet
from mmesim.live.models import Models
from mmesim.live.ports import FetchFailed, LoadRefused, Server, ServerDown, Store, Taken

log = logging.getLogger("mmesim.live")
BROKEN_S = 5.0
"""For the unload of a broken copy. Triton (2.51) never ends that of a python model whose process died while it worked:
nothing but a new server helps then."""
UNLOAD_ATTEMPTS = 3
"""Then a server that does not unload is taken for broken."""


class Times(Protocol):
    """Who wants to know how long things took, in seconds."""

    def download(self, instance: int, seconds: float) -> None: ...
    def load(self, instance: int, seconds: float) -> None: ...
    def unload(self, instance: int, seconds: float) -> None: ...


@dataclass(frozen=True)
class Limits:
    """How long a server may take, and how much a model."""

    load_s: float
    disk_bytes: int
    """Of the whole disk: the quota."""
    unload_s: float = 60.0


@dataclass(frozen=True)
class TakeAway:
    """Unload a broken copy that counts as lost already: no action of the controller, which is not told of its end."""

    instance: int
    model: int


class Hands:
    """Carries out what `do` is given. `post` hands an event to the controller; `starting` says whether a cold start of
    a model is under way anywhere."""

    def __init__(self, clock: Clock, fleet: Fleet, models: Models, store: Store, times: Times, limits: Limits,
                 post: Callable[[ev.Event], None], starting: Callable[[int], bool]) -> None:
        self.busy: dict[tuple[int, int], int] = {}
        """(instance, model) -> when something was last begun or ended there."""
        self._clock = clock
        self._fleet = fleet
        self._models = models
        self._store = store
        self._times = times
        self.limits = limits
        self._post = post
        self._starting = starting
        self._lessons: dict[int, dict[str, float]] = {}
        """Measured, and not yet told."""
        self._last: dict[tuple[int, int], asyncio.Task[None]] = {}
        """The latest task for a model on an instance."""
        self._kinds: dict[type, Callable[..., Coroutine[Any, Any, ev.Event | None]]] = {
            act.StartDownload: self._download, act.LoadModel: self._load, act.UnloadModel: self._unload,
            act.DeleteArtifact: self._delete, TakeAway: self._take_away}

    def do(self, action: act.StartDownload | act.LoadModel | act.UnloadModel | act.DeleteArtifact | TakeAway) -> None:
        """Begin an action."""
        key = (action.instance, action.model)
        work = self._in_order(self._last.get(key), action, self._fleet.generation(action.instance))
        self.busy[key] = self._clock.now_ns()
        task = self._last[key] = asyncio.create_task(work, name=f"{type(action).__name__} {key}")
        task.add_done_callback(self._done)

    def under_way(self) -> set[tuple[int, int]]:
        """(instance, model) pairs that something is being done to."""
        return set(self._last)

    def drop(self, instance: int) -> None:
        """The instance is lost: what is being done there is of no use any more."""
        for (where, _), task in self._last.items():
            if where == instance:
                task.cancel()

    async def close(self) -> None:
        """Drop what is under way."""
        tasks = list(self._last.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)

    async def _in_order(self, before: asyncio.Task[None] | None, action: Any, generation: int) -> None:
        key = (action.instance, action.model)
        answer = None
        try:
            if before is not None:
                await asyncio.wait([before])
            if self._fleet.generation(action.instance) == generation:
                answer = await self._kinds[type(action)](action.instance, action.model)
        finally:
            self.busy[key] = self._clock.now_ns()
            if self._last.get(key) is asyncio.current_task():
                del self._last[key]
        if answer is not None and self._fleet.generation(action.instance) == generation:
            self._post(answer)
            self._teach(action.model)

    async def _download(self, instance: int, model: int) -> ev.Event:
        started_ns, name = self._clock.now_ns(), self._models.names[model]
        try:
            archive = self._models.archives.get(name)
            if archive is None:
                raise FetchFailed(f"{name} is not in the store")
            limit_bytes = max(self._models.specs[model].disk_bytes, await self._store.unpacked_bytes(archive))
            if limit_bytes > self.limits.disk_bytes:
                raise FetchFailed(f"{name} would take {limit_bytes} bytes of the disk, more than its quota of "
                                  f"{self.limits.disk_bytes}")
            fetched = await self._store.fetch(archive, self._server(instance).repository, limit_bytes)
        except (FetchFailed, ServerDown) as error:
            self._failed(model, f"download: {error}")
            return ev.DownloadFailed(instance, model, str(error))
        self._times.download(instance, (self._clock.now_ns() - started_ns) / 1e9)
        self._lessons.setdefault(model, {})["disk_bytes"] = fetched.disk_bytes
        return ev.DownloadFinished(instance, model, fetched.extract_ns, fetched.disk_bytes)

    async def _load(self, instance: int, model: int) -> ev.Event | None:
        started_ns, name = self._clock.now_ns(), self._models.names[model]
        try:
            server = self._server(instance)
            await server.load(name, self.limits.load_s)
            load_s = (self._clock.now_ns() - started_ns) / 1e9
            taken = await server.taken(name)
        except LoadRefused as error:
            self._failed(model, f"load: {error}")
            return ev.LoadFailed(instance, model, error.out_of_memory, str(error))
        except ServerDown as error:
            self._failed(model, f"load: {error}")
            alive = await self._fleet.confirm(instance)
            return ev.LoadFailed(instance, model, False, str(error)) if alive else None
        self._models.errors.pop(model, None)
        self._times.load(instance, load_s)
        spec = self._models.specs[model]
        self._lessons.setdefault(model, {})["reload_disk_s"] = load_s
        taken = taken or Taken(spec.gpu_bytes, spec.host_bytes)
        return ev.LoadFinished(instance, model, taken.gpu_bytes, taken.host_bytes)

    async def _unload(self, instance: int, model: int) -> ev.Event | None:
        started_ns, name = self._clock.now_ns(), self._models.names[model]
        for _ in range(UNLOAD_ATTEMPTS):
            try:
                await self._server(instance).unload(name, self.limits.unload_s)
            except ServerDown as error:
                log.warning("unload of %s in slot %d: %s", name, instance, error)
                if not await self._fleet.confirm(instance):
                    return None
                continue
            self._times.unload(instance, (self._clock.now_ns() - started_ns) / 1e9)
            return ev.UnloadFinished(instance, model)
        self._fleet.give_up(instance, f"does not unload {name}")
        return None

    async def _take_away(self, instance: int, model: int) -> None:
        name = self._models.names[model]
        try:
            await self._server(instance).unload(name, BROKEN_S)
        except ServerDown as error:
            self._fleet.give_up(instance, f"{name} is broken, and stays: {error}")

    async def _delete(self, instance: int, model: int) -> None:
        try:
            await self._store.delete(self._models.names[model], self._server(instance).repository)
        except (FetchFailed, ServerDown, OSError) as error:
            log.warning("delete of %s in slot %d: %s", self._models.names[model], instance, error)

    def _teach(self, model: int) -> None:
        """What was measured replaces what was expected, once nothing under way rests on that."""
        if model not in self._lessons or any(one == model for _, one in self._last) or self._starting(model):
            return
        known, spec = self._lessons.pop(model), self._models.specs[model]
        if "reload_disk_s" in known:
            known["reload_s3_s"] = spec.reload_s3_s - spec.reload_disk_s + known["reload_disk_s"]
        event = self._models.learnt(model, **known)
        if event is not None:
            self._post(event)

    def _server(self, instance: int) -> Server:
        return self._fleet.server(instance)

    def _failed(self, model: int, reason: str) -> None:
        self._models.errors[model] = reason
        log.warning("%s: %s", self._models.names[model], reason)
