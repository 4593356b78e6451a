"""A small scripted control plane: enough of the real one to put a data plane into every situation.

A cold start downloads, extracts (host work), waits for one of `slots` places (evicting the least recently used idle
copy, or waiting for one to become idle), loads, and releases what was held. A script stalls, slows, crashes, drains,
grows, watches and counts. Every decision depends only on the shared table and on the stops, so two planes that agree
get the same calls.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from mmesim.core.lifecycle import Residency
from mmesim.core.residency import ResidencyTable
from mmesim.core.types import NEVER_NS, Failure, Tier
from mmesim.dataplane.api import DataPlane, Stop, Stopped

if TYPE_CHECKING:
    from reference.cases import Case

IN_MEMORY = (Residency.LOADING, Residency.READY, Residency.UNLOADING)


@dataclass(frozen=True)
class Intervention:
    """Something the script does at a time, whatever the plane does."""

    tick: int
    what: str
    instance: int = 0
    much: int = 1


class Standin:
    """The control plane of one case."""

    def __init__(self, case: Case, table: ResidencyTable, plane: DataPlane, log: list[Any]) -> None:
        self.case = case
        self.table = table
        self.plane = plane
        self.log = log
        self._heap: list[tuple[int, int, int, int, Callable[[], None]]] = []
        self._made = count()
        self._epochs = [0] * table.n_instances
        self._waiting: list[deque[int]] = [deque() for _ in range(table.n_instances)]
        self._extracting: dict[int, tuple[int, int]] = {}
        self._misses = self._loads = 0
        for step in case.script:
            action = getattr(self, f"do_{step.what}")
            self._at(step.tick * case.tick_ns, -1, lambda step=step, action=action: action(step))

    # ---- time

    def _at(self, time_ns: int, instance: int, action: Callable[[], None]) -> None:
        epoch = self._epochs[instance] if instance >= 0 else 0
        heapq.heappush(self._heap, (time_ns, next(self._made), instance, epoch, action))

    def _later(self, ticks: int, instance: int, action: Callable[[], None]) -> None:
        """At so many ticks from now, unless the instance is lost before."""
        self._at(self.plane.now_ns + ticks * self.case.tick_ns, instance, action)

    def next_ns(self) -> int:
        """Time of the next control event."""
        return self._heap[0][0] if self._heap else NEVER_NS

    def act(self) -> None:
        """Do the next control event; the plane stands at its time."""
        time_ns, _, instance, epoch, action = heapq.heappop(self._heap)
        assert time_ns == self.plane.now_ns
        if instance < 0 or self._epochs[instance] == epoch:
            action()

    def answer(self, stopped: Stopped) -> None:
        """React to a stop of the plane."""
        if stopped.stop is Stop.MISS:
            self._on_miss(stopped.model, stopped.instance)
        elif stopped.stop is Stop.WISH:
            self._on_wish(stopped.model)
        elif stopped.stop is Stop.IDLE:
            self._on_idle(stopped.instance)
        elif stopped.stop is Stop.INSTANCE_IDLE:
            self._on_instance_idle(stopped.instance)
        elif stopped.token in self._extracting:
            self._extracted(*self._extracting.pop(stopped.token))

    # ---- the cold path

    def _copy(self, column: str, instance: int, model: int) -> int:
        return int(self.table.copies[column][self.table.row(instance, model)])

    def _mark(self, column: str, instance: int, model: int, value: int) -> None:
        self.table.copies[column][self.table.row(instance, model)] = value

    def _on_miss(self, model: int, instance: int) -> None:
        self._misses += 1
        if not self.table.models["exists"][model]:
            self.plane.reject_pending(Failure.NO_SUCH_MODEL)
        elif self.case.reject_every and self._misses % self.case.reject_every == 0:
            self.plane.reject_pending(Failure.LOAD_FAILED)
        else:
            serving = self.table.serving
            somewhere = int(serving[(model + self._misses) % len(serving)])
            self._start_cold(instance if instance >= 0 else somewhere, model)

    def _on_wish(self, model: int) -> None:
        self.table.models["wish_after_ns"][model] = self.plane.now_ns + self.case.wish_pause * self.case.tick_ns
        free = [int(i) for i in self.table.serving if self.table.state(i, model) is not Residency.READY
                and not self._copy("cold", i, model)]
        self._start_cold(free[0], model)

    def _start_cold(self, instance: int, model: int) -> None:
        state, now_ns = self.table.state(instance, model), self.plane.now_ns
        self._mark("uses", instance, model, 0)
        self._mark("tier", instance, model, Tier.S3 if state is Residency.ABSENT else Tier.DISK)
        for mark in ("requested_ns", "downloaded_ns", "extracted_ns"):
            self._mark(mark, instance, model, now_ns)
        self.table.cold_started(instance, model)
        if state is Residency.ABSENT:
            self.table.advance(instance, model, "start download")
            self._later(self.case.download, instance, lambda: self._downloaded(instance, model))
        elif state is not Residency.UNLOADING:
            if state is Residency.FAILED:
                self.table.advance(instance, model, "retry")
            self._want_room(instance, model)

    def _downloaded(self, instance: int, model: int) -> None:
        self._mark("downloaded_ns", instance, model, self.plane.now_ns)
        if self.case.extract:
            token = self.plane.start_work(instance, self.case.extract * self.case.tick_ns)
            self._extracting[token] = instance, model
        else:
            self._extracted(instance, model)

    def _extracted(self, instance: int, model: int) -> None:
        self._mark("extracted_ns", instance, model, self.plane.now_ns)
        self.table.advance(instance, model, "download finished")
        self._want_room(instance, model)

    def _want_room(self, instance: int, model: int) -> None:
        self._waiting[instance].append(model)
        self._make_room(instance)

    def _make_room(self, instance: int) -> None:
        waiting = self._waiting[instance]
        while waiting:
            states = [self.table.state(instance, model) for model in range(self.table.n_models)]
            if sum(state in IN_MEMORY for state in states) < self.case.slots:
                self._load(instance, waiting.popleft())
            elif states.count(Residency.UNLOADING) >= len(waiting) or not self._evict(instance, states):
                break

    def _evict(self, instance: int, states: list[Residency]) -> bool:
        """The least recently used idle copy leaves; without one, wait for the next that becomes idle."""
        ready = [model for model, state in enumerate(states) if state is Residency.READY]
        idle = [model for model in ready if self._copy("outstanding", instance, model) == 0]
        if idle:
            self._unload(instance, min(idle, key=lambda model: self._copy("last_use_ns", instance, model)))
        else:
            for model in ready:
                self._mark("watch", instance, model, 1)
        return bool(idle)

    def _load(self, instance: int, model: int) -> None:
        self.table.advance(instance, model, "start load")
        self._mark("load_started_ns", instance, model, self.plane.now_ns)
        slow = 1 + self._loads % self.case.load_spread
        self._later(self.case.load * slow, instance, lambda: self._loaded(instance, model))

    def _loaded(self, instance: int, model: int) -> None:
        self._loads += 1
        if self.case.out_of_memory_every and self._loads % self.case.out_of_memory_every == 0:
            self.table.advance(instance, model, "out of memory")
            self._want_room(instance, model)
        elif self.case.fail_every and self._loads % self.case.fail_every == 0:
            self._load_failed(instance, model)
        else:
            self.table.advance(instance, model, "load finished")
            self._mark("ready_since_ns", instance, model, self.plane.now_ns)
            self.table.cold_ended(instance, model)
            self._release(instance, model)
        self._make_room(instance)

    def _load_failed(self, instance: int, model: int) -> None:
        self.table.advance(instance, model, "load failed")
        self.table.cold_ended(instance, model)
        self.table.models["failed_until_ns"][model] = self.plane.now_ns + self.case.failed_for * self.case.tick_ns
        self.plane.fail_held(instance, model, Failure.LOAD_FAILED)

    def _release(self, instance: int, model: int) -> None:
        if self.table.instances["stalled"][instance] == 0:
            self.plane.release(instance, model)

    def _unload(self, instance: int, model: int) -> None:
        self._mark("watch", instance, model, 0)
        self.table.advance(instance, model, "start unload")
        if self.case.unload_stalls:
            self.table.instances["stalled"][instance] += 1
        self._later(self.case.unload, instance, lambda: self._unloaded(instance, model))

    def _unloaded(self, instance: int, model: int) -> None:
        self.table.advance(instance, model, "unload finished")
        if self.case.unload_stalls:
            self._unstall(instance)
        if self._copy("cold", instance, model):
            self._waiting[instance].append(model)
        elif not self.case.keep_on_disk:
            self.table.advance(instance, model, "delete artifact")
        self._make_room(instance)

    def _unstall(self, instance: int) -> None:
        self.table.instances["stalled"][instance] -= 1
        for model in range(self.table.n_models):
            if self.table.state(instance, model) is Residency.READY:
                self._release(instance, model)

    def _on_idle(self, instance: int) -> None:
        for model in range(self.table.n_models):
            self._mark("watch", instance, model, 0)
        self._make_room(instance)

    # ---- instances come and go

    def _on_instance_idle(self, instance: int) -> None:
        box = self.table.instances[instance]
        if box["draining"] and box["outstanding"] == 0:
            self._lose(instance, 5)

    def _lose(self, instance: int, back_after: int) -> None:
        self._epochs[instance] += 1
        self.plane.fail_instance(instance, Failure.INSTANCE_LOST)
        self.table.set_serving(instance, False)
        for model in range(self.table.n_models):
            if self._copy("cold", instance, model):
                self.table.cold_ended(instance, model)
        self._extracting = {token: copy for token, copy in self._extracting.items() if copy[0] != instance}
        self._waiting[instance].clear()
        self.table.clear(instance)
        self._later(back_after, instance, lambda: self.table.set_serving(instance, True))

    def _target(self, step: Intervention) -> int:
        return step.instance % self.table.n_instances

    def _is_up(self, instance: int) -> bool:
        box = self.table.instances[instance]
        return bool(box["serving"] or box["draining"])

    def do_crash(self, step: Intervention) -> None:
        """The instance dies and comes back empty after `much` ticks."""
        if self._is_up(self._target(step)):
            self._lose(self._target(step), step.much)

    def do_drain(self, step: Intervention) -> None:
        """The instance gets no more requests and ends when it is idle."""
        instance = self._target(step)
        if self.table.instances["serving"][instance]:
            self.table.instances["draining"][instance] = 1
            self.table.set_serving(instance, False)
            self._on_instance_idle(instance)

    def do_grow(self, step: Intervention) -> None:
        """One more instance, which serves after `much` ticks."""
        new = self.table.n_instances
        self.table.grow(new + 1)
        self.plane.grow_instances()
        self._epochs.append(0)
        self._waiting.append(deque())
        self._later(step.much, new, lambda: self.table.set_serving(new, True))

    # ---- the rest of the script

    def do_stall(self, step: Intervention) -> None:
        """Admission to the instance stops for `much` ticks."""
        instance = self._target(step)
        self.table.instances["stalled"][instance] += 1
        self._later(step.much, instance, lambda: self._unstall(instance))

    def do_slow(self, step: Intervention) -> None:
        """Both stations of the instance change their speed."""
        self.plane.set_speed(self._target(step), max(1, 65536 // step.much), max(1, 65536 * 2 // (step.much + 1)))

    def do_work(self, step: Intervention) -> None:
        """Host work of `much` ticks."""
        self.plane.start_work(self._target(step), step.much * self.case.tick_ns)

    def do_watch(self, step: Intervention) -> None:
        """Somebody wants to know when a copy becomes idle."""
        self._mark("watch", self._target(step), step.much % self.table.n_models, 1)

    def do_fail_held(self, step: Intervention) -> None:
        """All that is held at a copy fails."""
        self.plane.fail_held(self._target(step), step.much % self.table.n_models, Failure.LOAD_FAILED)

    def do_exists(self, step: Intervention) -> None:
        """A model is deleted from the prefix, or added again."""
        model = step.much % self.table.n_models
        self.table.models["exists"][model] = 1 - self.table.models["exists"][model]

    def do_take(self, step: Intervention) -> None:
        """Counters are read."""
        self.log.append(self.plane.take())
        self.log.append(self.plane.take_records())

    def do_reset(self, step: Intervention) -> None:
        """The warm-up is over."""
        self.plane.reset_totals()
