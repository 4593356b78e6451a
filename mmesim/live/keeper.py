"""What servers and store really hold, looked up regularly, at start and after losses, and made known to the controller:
one path for all three."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from mmesim.core import events as ev
from mmesim.core.lifecycle import Residency
from mmesim.core.residency import ResidencyTable
from mmesim.live.clock import Clock
from mmesim.live.fleet import Fleet
from mmesim.live.hands import Hands
from mmesim.live.models import Models
from mmesim.live.ports import Manifest, ServerDown, Store, Taken
from mmesim.live.reconcile import Difference, Held, compare

log = logging.getLogger("mmesim.live")


class Look(NamedTuple):
    """One look at a server."""

    at_ns: int
    """When it began: what has been touched since is not judged by it."""
    held: Held
    taken: Mapping[str, Taken | None]
    """Memory of what is READY and not known to be."""


class Keeper:
    """Compares, and tells (`post`)."""

    def __init__(self, clock: Clock, models: Models, store: Store, fleet: Fleet, hands: Hands, table: ResidencyTable,
                 post: Callable[[ev.Event], None]) -> None:
        self._clock = clock
        self._models = models
        self._store = store
        self._fleet = fleet
        self._hands = hands
        self._table = table
        self._post = post

    async def relist(self) -> None:
        """Look for models that were added to the store, taken away or replaced. Raises FetchFailed."""
        change = self._models.take_in(await self._store.list())
        for name in change.without_place:
            log.warning("no place for model %s: raise models.spare and start anew", name)
        for event in change.events:
            self._post(event)
        if change.replaced:
            await self.reconcile()

    async def reconcile(self) -> Mapping[int, Difference]:
        """Compare belief and reality on all servers; returns the differences, which are resolved."""
        found = {}
        for slot in self._fleet.in_service:
            with suppress(ServerDown):
                found[slot] = await self._reconcile_one(slot)
        return {slot: difference for slot, difference in found.items() if difference}

    async def _reconcile_one(self, slot: int) -> Difference:
        generation, found = self._fleet.generation(slot), await self.look(slot)
        if self._fleet.generation(slot) != generation:
            return Difference()
        difference = self.settle(slot, found)
        await self.tidy(slot, difference)
        return difference

    async def look(self, slot: int) -> Look:
        """What a server holds now. Raises ServerDown, FetchFailed."""
        looked_ns, server, numbers = self._clock.now_ns(), self._fleet.server(slot), self._models.numbers
        manifests, index = await self._store.manifests(server.repository), await server.index()
        on_disk = {name: found.disk_bytes for name, found in manifests.items() if self._is_current(name, found)}
        ready = frozenset(name for name, state in index.items() if state == "READY")
        known = {name: self._table.state(slot, numbers[name]) for name in ready if name in numbers}
        news = [name for name, state in known.items() if state is not Residency.READY]
        return Look(looked_ns, Held(ready, on_disk), {name: await server.taken(name) for name in news})

    def _is_current(self, name: str, found: Manifest) -> bool:
        """Whether files are of the archive that the store has now: others count as gone, once nothing is loaded from
        them."""
        archive = self._models.archives.get(name)
        return archive is None or archive.version == found.version

    def settle(self, slot: int, look: Look) -> Difference:
        """Tell the controller what is different, all at once."""
        names, numbers, specs = self._models.names, self._models.numbers, self._models.specs
        busy = {model for where, model in self._hands.under_way() if where == slot}
        busy |= {model for (where, model), at_ns in self._hands.busy.items() if where == slot and at_ns >= look.at_ns}
        difference = compare(look.held, {name: self._table.state(slot, n) for name, n in numbers.items()},
                             frozenset(names[model] for model in busy))
        for name, loaded in difference.found:
            spec = specs[numbers[name]]
            memory = look.taken.get(name) or Taken(spec.gpu_bytes, spec.host_bytes)
            self._post(ev.CopyFound(slot, numbers[name], loaded, memory.gpu_bytes, memory.host_bytes,
                                   look.held.on_disk.get(name, 0)))
        for name, on_disk in difference.lost:
            self._post(ev.CopyLost(slot, numbers[name], on_disk))
        if difference:
            log.info("slot %d reconciled: %s", slot, difference)
        return difference

    async def tidy(self, slot: int, difference: Difference) -> None:
        """Take away what should not be there."""
        server = self._fleet.server(slot)
        for name in difference.strays:
            await server.unload(name, self._hands.limits.unload_s)
        for name in difference.litter:
            await self._store.delete(name, server.repository)
