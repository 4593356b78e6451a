"""What a server really holds where that differs from what the endpoint knows: the server is right.

Nothing is found or lost while the endpoint itself is at work on a copy: what is under way there will report its end.
"""

from __future__ import annotations

from mmesim.core.endpoint import Endpoint
from mmesim.core.events import CopyFound
from mmesim.core.instance import InstanceState
from mmesim.core.lifecycle import Residency
from mmesim.core.memory import Memory
from mmesim.core.types import Tier


class Reconciled:
    """Takes in what is found, and writes off what is lost."""

    def __init__(self, endpoint: Endpoint, memory: Memory) -> None:
        self.endpoint = endpoint
        self.memory = memory

    def take_in(self, instance: InstanceState, event: CopyFound, now_ns: int) -> None:
        """Files on the disk, or a copy in memory. What has no room leaves again at once."""
        model, table = event.model, self.endpoint.table
        if model in instance.cold:
            return
        if table.state(instance.index, model) is Residency.ABSENT:
            fits = self._files_found(instance, model, event.disk_bytes, now_ns)
            if not event.loaded:
                if not (fits and self.memory.keeps_files):
                    self.memory.delete(instance, model, "no room for what was found", now_ns)
                return
        if event.loaded and table.state(instance.index, model) is Residency.ON_DISK:
            self._copy_found(instance, event, now_ns)

    def _files_found(self, instance: InstanceState, model: int, disk_bytes: int, now_ns: int) -> bool:
        table, fits = self.endpoint.table, disk_bytes <= instance.disk.free_bytes
        instance.disk.reserve(model, min(disk_bytes, instance.disk.free_bytes))
        table.advance(instance.index, model, "files found")
        row = table.row(instance.index, model)
        table.copy.tier[row], table.copy.extracted_ns[row] = Tier.DISK, now_ns
        self.endpoint.policies.disk_eviction.loaded(instance.index, model, now_ns)
        return fits

    def _copy_found(self, instance: InstanceState, event: CopyFound, now_ns: int) -> None:
        i, model, table = instance.index, event.model, self.endpoint.table
        fits = self.memory.adopt(instance, model, event.gpu_bytes, event.host_bytes)
        table.advance(i, model, "copy found")
        instance.ready.add(model)
        row = table.row(i, model)
        table.copy.ready_since_ns[row] = now_ns
        table.copy.uses[row] = 0
        table.copy.watch[row] = not self.endpoint.spec.model_cache
        self.endpoint.policies.gpu_eviction.loaded(i, model, now_ns)
        if not fits:
            self.memory.unload(instance, model, "no room for what was found", now_ns)
        else:
            self.memory.expire(instance, model, now_ns)

    def write_off(self, instance: InstanceState, model: int, on_disk: bool, now_ns: int) -> None:
        """A READY copy is gone from memory, or files at rest are gone from the disk."""
        i, table, state = instance.index, self.endpoint.table, self.endpoint.table.state(instance.index, model)
        if state is Residency.READY:
            state = table.advance(i, model, "copy lost")
            instance.ready.remove(model)
            table.copy.watch[table.row(i, model)] = 0
            self.memory.release(instance, model)
            self.endpoint.policies.gpu_eviction.removed(i, model, now_ns)
            if on_disk and not self.memory.keeps_files:
                self.memory.delete(instance, model, "not kept on disk", now_ns)
        if not on_disk and state in (Residency.ON_DISK, Residency.FAILED) and model not in instance.cold:
            table.advance(i, model, "files lost")
            instance.disk.release(model)
            self.endpoint.policies.disk_eviction.removed(i, model, now_ns)
