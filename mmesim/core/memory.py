"""Room in memory and on the disk: what must leave, and the accounts of what stays.

Rules: only idle READY copies that are not pinned leave a memory; only files that are neither loaded, loading nor pinned
leave the disk; what is unloading still occupies its memory. The policy names victims best first, and is asked no
further than needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np

from mmesim.core.actions import DeleteArtifact, Stall, UnloadModel
from mmesim.core.answers import several, whole
from mmesim.core.candidates import Candidate, CopyCandidates
from mmesim.core.decisions import ROWS, EvictionDecision
from mmesim.core.endpoint import Endpoint
from mmesim.core.instance import InstanceState
from mmesim.core.lifecycle import Residency
from mmesim.core.policy import REFUSE, EvictionPolicy, WrongAnswer
from mmesim.core.types import ModelSpec

SORTED_WHOLE = 256
"""Candidates up to which sorting them all is quicker than finding the first few."""


class Room(Enum):
    """Answer to a wish for memory."""

    RESERVED = "reserved"
    WAIT = "wait"
    """Something will leave or become idle; ask again then."""
    NEVER = "never"
    """Nothing that is here can leave."""


class Short(NamedTuple):
    """What is lacking for a load; below zero: to spare."""

    gpu_bytes: int
    host_bytes: int
    places: int
    """Models in memory above the most that may be there."""

    @property
    def of_anything(self) -> bool:
        """True when the load cannot begin yet."""
        return self.gpu_bytes > 0 or self.host_bytes > 0 or self.places > 0

    def plus(self, gpu_bytes: int, host_bytes: int, places: int) -> Short:
        """So much more is needed."""
        return Short(self.gpu_bytes + gpu_bytes, self.host_bytes + host_bytes, self.places + places)


class Memory:
    """Reserves, evicts and releases for all instances."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.keeps_files = endpoint.spec.keep_on_disk and endpoint.spec.model_cache
        """Files stay on the disk when their model is unloaded."""
        self._reload_memory_s = [self._reload_s(model) for model in endpoint.specs]
        self._reload_disk_s = [model.reload_s3_s for model in endpoint.specs]

    def _reload_s(self, spec: ModelSpec) -> float:
        return spec.reload_disk_s if self.keeps_files else spec.reload_s3_s

    def describe(self, model: int, spec: ModelSpec) -> None:
        """What is known of a model, from now on."""
        self._reload_memory_s[model], self._reload_disk_s[model] = self._reload_s(spec), spec.reload_s3_s

    def reserve(self, instance: InstanceState, queue: Sequence[int], now_ns: int) -> Room:
        """Reserve device and host memory for a load of ``queue[0]``, or start to make room.

        `queue` holds all that could load at once: room is made for them together, but granted in order only, so that
        no two loads wait for each other's victims.
        """
        gpu_bytes, base_bytes, host_bytes = self._needs(instance, queue[0])
        fits = gpu_bytes + base_bytes <= instance.gpu.free_bytes and host_bytes <= instance.host.free_bytes
        if fits and self._places(instance) > 0:
            if base_bytes:
                instance.gpu.reserve(self.endpoint.specs[queue[0]].framework, base_bytes)
            instance.gpu.reserve(queue[0], gpu_bytes)
            instance.host.reserve(queue[0], host_bytes)
            instance.room_made = max(0, instance.room_made - 1)
            return Room.RESERVED
        if gpu_bytes + base_bytes > instance.gpu.capacity_bytes or host_bytes > instance.host.capacity_bytes:
            return Room.NEVER
        if instance.room_made < len(queue) or not instance.unloading:  # what was enough may not be any more
            instance.refused = False
            instance.room_made = self._make_room(instance, queue, now_ns)
            if instance.refused and not instance.room_made:
                return Room.NEVER
        return Room.WAIT if instance.room_made else self._prospect(instance)

    def adopt(self, instance: InstanceState, model: int, gpu_bytes: int, host_bytes: int) -> bool:
        """Open the accounts of a copy that is loaded already; False: it has what was left, which is not enough."""
        fits = self._places(instance) > 0
        if instance.spec.has_gpu:
            self.endpoint.expected_gpu_bytes[model] = gpu_bytes
            _, base_bytes, _ = self._needs(instance, model)
            fits &= gpu_bytes + base_bytes <= instance.gpu.free_bytes
            if base_bytes and fits:
                instance.gpu.reserve(self.endpoint.specs[model].framework, base_bytes)
        fits &= host_bytes <= instance.host.free_bytes
        instance.gpu.reserve(model, min(gpu_bytes if instance.spec.has_gpu else 0, instance.gpu.free_bytes))
        instance.host.reserve(model, min(host_bytes, instance.host.free_bytes))
        return fits

    def _places(self, instance: InstanceState) -> int:
        """How many more models may be in memory; what is unloading still counts."""
        most = self.endpoint.spec.max_models
        return most - len(instance.ready) - len(instance.unloading) - instance.loading if most else 1 << 30

    def _needs(self, instance: InstanceState, model: int) -> tuple[int, int, int]:
        """(device bytes of the copy, framework base still to come, host bytes); no device bytes on a CPU endpoint."""
        spec = self.endpoint.specs[model]
        if instance.memory is instance.host:
            return 0, 0, spec.host_bytes
        base_bytes = 0 if spec.framework in instance.gpu.accounts else spec.framework_base_bytes
        return self.endpoint.expected_gpu_bytes[model], base_bytes, spec.host_bytes

    def _make_room(self, instance: InstanceState, queue: Sequence[int], now_ns: int) -> int:
        """Evict for the queue, in order; returns for how many of its loads the room is there or on its way."""
        short = Short(-instance.gpu.free_bytes - instance.leaving_gpu_bytes,
                      -instance.host.free_bytes - instance.leaving_host_bytes,
                      -self._places(instance) - len(instance.unloading))
        for n, model in enumerate(queue):
            gpu_bytes, base_bytes, host_bytes = self._needs(instance, model)
            short = short.plus(gpu_bytes + base_bytes, host_bytes, 1)
            if short.of_anything:
                short = self._evict(instance, model, short, now_ns)
            if short.of_anything:
                return n
        return len(queue)

    def _evict(self, instance: InstanceState, model: int, short: Short, now_ns: int) -> Short:
        """Unload victims until nothing is short, or none is left; returns what is short then."""
        candidates = self._memory_candidates(instance, now_ns)
        if not len(candidates):
            return short
        policy = self.endpoint.policies.gpu_eviction
        need_bytes = max(1, short.gpu_bytes if short.gpu_bytes > 0 else short.host_bytes)
        victims: list[Candidate] = []
        for victim in several(policy, "victims", policy.victims(candidates, need_bytes, now_ns), Candidate):
            self._check_victim(victim, instance)
            victims.append(victim)
            short = short.plus(-instance.gpu.accounts[victim.model], -instance.host.accounts[victim.model], -1)
            self.unload(instance, victim.model, f"evicted for {self.endpoint.specs[model].name}", now_ns)
            if not short.of_anything:
                break
        else:
            if len(victims) < len(candidates):
                when_ns = whole(policy, "when_short", policy.when_short(candidates, now_ns))
                self._ask_again(instance, when_ns, now_ns)
        if self.endpoint.decisions is not None:
            self.endpoint.explain(explained(candidates, False, model, need_bytes, victims))
        return short

    def _ask_again(self, instance: InstanceState, when_ns: int, now_ns: int) -> None:
        """The policy holds back what is needed: until then, or for good."""
        instance.refused = when_ns == REFUSE
        if when_ns > now_ns:
            self.endpoint.timers.set(when_ns, instance.index)

    def _check_victim(self, victim: Candidate, instance: InstanceState) -> None:
        """A policy may only name candidates, each once."""
        table = self.endpoint.table
        if victim.model not in instance.ready or not self.endpoint.evictable[victim.model] \
                or table.copy.outstanding.item(table.row(instance.index, victim.model)):
            raise not_a_candidate(victim)

    def _memory_candidates(self, instance: InstanceState, now_ns: int) -> CopyCandidates:
        models = instance.ready.numbers
        rows = models + instance.index * self.endpoint.table.n_models
        may_leave = self.endpoint.table.copy.outstanding[rows] == 0
        if self.endpoint.has_pinned:
            may_leave &= self.endpoint.evictable[models]
        candidates = CopyCandidates(self.endpoint.table, instance.index, self.endpoint.specs, models[may_leave],
                                    instance.memory, "ready_since_ns", self._reload_memory_s, now_ns)
        if self.endpoint.decisions is not None:
            candidates.held_back = tuple(models[~may_leave].tolist())
        return candidates

    def _prospect(self, instance: InstanceState) -> Room:
        """Not enough can leave now: watch what is READY, and WAIT while anything may still leave."""
        table = self.endpoint.table
        busy = [model for model in instance.ready if self.endpoint.evictable[model]]
        for model in busy:
            table.copy.watch[table.row(instance.index, model)] = 1
        return Room.WAIT if busy or instance.unloading or instance.loading else Room.NEVER

    def expire(self, instance: InstanceState, model: int, now_ns: int) -> None:
        """Unload a copy whose time is over, if it is idle; look again when it will be over, or no longer busy."""
        if model not in instance.ready or not self.endpoint.evictable[model]:
            return
        copy, row = self.endpoint.table.copy, self.endpoint.table.row(instance.index, model)
        touched_ns = max(copy.last_use_ns.item(row), copy.ready_since_ns.item(row))
        policy = self.endpoint.policies.gpu_eviction
        due_ns = whole(policy, "expires_ns", policy.expires_ns(instance.index, model, touched_ns))
        if due_ns > now_ns:
            self.endpoint.timers.set(due_ns, instance.index, model)
        elif copy.outstanding.item(row) == 0:
            self.unload(instance, model, "keep-alive over", now_ns)
        else:
            copy.watch[row] = 1

    def unload(self, instance: InstanceState, model: int, reason: str, now_ns: int) -> None:
        """Start to unload a READY copy; its memory counts until `unloaded`."""
        endpoint = self.endpoint
        endpoint.table.advance(instance.index, model, "start unload")
        endpoint.table.copy.watch[endpoint.table.row(instance.index, model)] = 0
        instance.ready.remove(model)
        instance.unloading[model] = None
        instance.leaving_gpu_bytes += instance.gpu.accounts[model]
        instance.leaving_host_bytes += instance.host.accounts[model]
        endpoint.policies.gpu_eviction.removed(instance.index, model, now_ns)
        endpoint.do(UnloadModel(instance.index, model, reason))
        if endpoint.spec.unload_stalls_admission:
            self._stall(instance, +1)

    def unloaded(self, instance: InstanceState, model: int) -> None:
        """The copy has left: release its memory, and its files where they are not kept."""
        self.endpoint.table.advance(instance.index, model, "unload finished")
        del instance.unloading[model]
        instance.leaving_gpu_bytes -= instance.gpu.accounts[model]
        instance.leaving_host_bytes -= instance.host.accounts[model]
        self.release(instance, model)
        if self.endpoint.spec.unload_stalls_admission:
            self._stall(instance, -1)

    def release(self, instance: InstanceState, model: int) -> None:
        """Close the copy's memory accounts."""
        instance.gpu.release(model)
        instance.host.release(model)

    def _stall(self, instance: InstanceState, change: int) -> None:
        stalled = self.endpoint.table.instance.stalled
        stalled[instance.index] += change
        if (change, int(stalled[instance.index])) in ((1, 1), (-1, 0)):
            self.endpoint.do(Stall(instance.index, change > 0))

    def reserve_disk(self, instance: InstanceState, model: int, now_ns: int) -> Room:
        """Reserve disk for a download, deleting files as needed. Files go at once, so there is nothing to wait for
        but loads and downloads under way."""
        size_bytes = self.endpoint.specs[model].disk_bytes
        short = size_bytes - instance.disk.free_bytes
        if short > 0:
            short = self._evict_files(instance, model, short, now_ns)
        if short <= 0:
            instance.disk.reserve(model, size_bytes)
            return Room.RESERVED
        if size_bytes > instance.disk.capacity_bytes:
            return Room.NEVER
        return Room.WAIT if instance.unloading or instance.downloading or instance.loading else Room.NEVER

    def _evict_files(self, instance: InstanceState, model: int, need_bytes: int, now_ns: int) -> int:
        """Delete files until nothing is short, or none is left; returns what is short then."""
        candidates = self._disk_candidates(instance, now_ns)
        policy: EvictionPolicy = self.endpoint.policies.disk_eviction
        victims: list[Candidate] = []
        short = need_bytes
        answer = policy.victims(candidates, need_bytes, now_ns) if candidates else ()
        for victim in several(policy, "victims", answer, Candidate):
            if victim.model not in candidates.model or not instance.holds(victim.model):
                raise not_a_candidate(victim)
            victims.append(victim)
            short -= instance.disk.accounts[victim.model]
            self.delete(instance, victim.model, f"evicted for {self.endpoint.specs[model].name}", now_ns)
            if short <= 0:
                break
        if self.endpoint.decisions is not None and len(candidates):
            self.endpoint.explain(explained(candidates, True, model, need_bytes, victims))
        return short

    def _disk_candidates(self, instance: InstanceState, now_ns: int) -> CopyCandidates:
        table = self.endpoint.table
        models = np.array(sorted(m for m in instance.disk.accounts if isinstance(m, int)), np.int64)
        states = table.copy.state[models + instance.index * table.n_models]
        at_rest = (states == Residency.ON_DISK) | (states == Residency.FAILED)
        models = models[at_rest & self.endpoint.evictable[models]]
        models = models[[model not in instance.cold for model in models.tolist()]] if len(models) else models
        return CopyCandidates(table, instance.index, self.endpoint.specs, models, instance.disk,
                              "extracted_ns", self._reload_disk_s, now_ns)

    def delete(self, instance: InstanceState, model: int, reason: str, now_ns: int) -> None:
        """Delete a model's files, which are at rest."""
        table = self.endpoint.table
        if table.state(instance.index, model) is Residency.FAILED:
            table.advance(instance.index, model, "retry")
        table.advance(instance.index, model, "delete artifact")
        instance.disk.release(model)
        self.endpoint.policies.disk_eviction.removed(instance.index, model, now_ns)
        self.endpoint.do(DeleteArtifact(instance.index, model, reason))


def explained(candidates: CopyCandidates, on_disk: bool, wanted_by: int, need_bytes: int,
              victims: Sequence[Candidate]) -> EvictionDecision:
    """What the policy saw and told, of its victims and of those it would have named next."""
    gone = tuple([victim.model for victim in victims])
    first = [int((candidates.model == model).argmax()) for model in gone[:ROWS]]
    others = [at for at in _in_order(candidates, ROWS + len(gone)) if at not in first]
    rows = np.array([*first, *others][:ROWS], np.intp)
    told = {name: column[rows].tolist() for name, column in candidates.told.items() if len(column) == len(candidates)}
    return EvictionDecision(candidates.instance, on_disk, wanted_by, need_bytes, len(candidates), gone,
                            candidates.held_back, {**told, **candidates.shown(rows)})


def _in_order(candidates: CopyCandidates, n: int) -> list[int]:
    """Positions of the first n candidates by the policy's keys, as far as it gave any."""
    keys = [key for key in candidates.order or (*candidates.told.values(), candidates.model)
            if len(key) == len(candidates)]
    if len(candidates) <= max(n, SORTED_WHOLE):
        return np.lexsort(keys[::-1])[:n].tolist()  # type: ignore[no-any-return]
    near = (keys[0] <= np.partition(keys[0], n)[n]).nonzero()[0]
    return near[np.lexsort([key[near] for key in keys[::-1]])[:n]].tolist()  # type: ignore[no-any-return]


def not_a_candidate(victim: Candidate) -> WrongAnswer:
    """The error of a policy that names what it was not offered."""
    return WrongAnswer(f"eviction policy named model {victim.model}, which is not a candidate (or named it twice)")
