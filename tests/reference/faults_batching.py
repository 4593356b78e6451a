"""Faults of a copy to plant into the reference plane: its batcher, what it holds, what batches want; see `plant`."""

from __future__ import annotations

from functools import partial

from mmesim.core.types import NONE, Failure, Tier
from mmesim.dataplane.api import ServiceSpec
from mmesim.dataplane.counters import Reason
from reference import copy
from reference.agenda import Kind
from reference.copy import Copy, Walk
from reference.invocation import Invocation, Stage
from reference.plant import Faults, register
from reference.station import Job

FAULTS: Faults = {}
fault = partial(register, FAULTS)


# ---- the queue


@fault(Copy, "walk")
def batch_one_item_too_large(self: Copy) -> Walk:
    """A batch may hold one item more than max_batch."""
    walked: list[Invocation] = []
    preferred, items = None, 0
    for invocation in self.queue:
        if walked and items + invocation.items > self.spec.max_batch + 1:
            return Walk(walked, True, preferred)
        walked.append(invocation)
        items += invocation.items
        preferred = list(walked) if items in self.spec.preferred else preferred
    return Walk(walked, items >= self.spec.max_batch, preferred)


_walk = Copy.walk


@fault(Copy, "walk")
def smallest_preferred_prefix(self: Copy) -> Walk:
    found = _walk(self)
    prefixes = [found.walked[:n] for n in range(1, len(found.walked) + 1)]
    preferred = [p for p in prefixes if sum(i.items for i in p) in self.spec.preferred]
    return Walk(found.walked, found.full, preferred[0] if preferred else None)


@fault(Copy, "arm")
def timer_is_not_armed_anew(self: Copy, time_ns: int) -> None:
    if self.timer is None:
        self.timer = self.plane.agenda.at(time_ns, Kind.TIMER, self.row, self.try_form)


@fault(Copy, "disarm")
def timer_survives_the_launch_it_was_for(self: Copy) -> None:
    """Left alone, as long as it is not replaced."""


@fault(Copy, "enqueue")
def nothing_is_tried_after_a_rejection(self: Copy, invocation: Invocation) -> None:
    """A full queue refuses and leaves it at that: no batch is formed."""
    invocation.spend(Reason.HOST_CPU, self.plane.now_ns - invocation.since_ns)
    invocation.since_ns = self.plane.now_ns
    if 0 < self.spec.max_queue <= len(self.queue):
        self.plane.fail(invocation, Failure.QUEUE_FULL)
        return
    invocation.full_ns = self.full_ns
    self.queue.append(invocation)
    self.try_form()


@fault(Copy, "finish")
def lost_wake_up_after_a_batch(self: Copy, batch: list[Invocation], demand_ns: int) -> None:
    self._set_running(self.running - 1)
    for invocation in batch:
        invocation.spend(Reason.COMPUTE, demand_ns)
        invocation.spend(Reason.CONTENTION, self.plane.now_ns - invocation.since_ns - demand_ns)
        self.plane.complete(invocation)


@fault(Copy, "drop_late")
def queue_timeout_at_the_limit(self: Copy) -> None:
    limit_ns = self.spec.queue_timeout_ns
    while self.queue and limit_ns > 0 and self.plane.now_ns - self.queue[0].since_ns >= limit_ns:
        self.plane.fail(self.queue.popleft(), Failure.QUEUE_FULL)


@fault(Copy, "first_inference_ns")
def first_inference_only_once_in_a_life(self: Copy) -> int:
    is_first, self.warmed_ns = self.warmed_ns == NONE, 0
    return self.spec.first_inference_ns if is_first else 0


@fault(Copy, "hold")
def held_requests_leave_in_reverse_order(self: Copy, invocation: Invocation) -> None:
    invocation.stage = Stage.HELD
    invocation.since_ns = self.plane.now_ns
    self.held.appendleft(invocation)


@fault(Copy, "explain_wait")
def all_waiting_is_queueing(self: Copy, batch: list[Invocation]) -> None:
    for invocation in batch:
        invocation.spend(Reason.QUEUE, self.plane.now_ns - invocation.since_ns)
        invocation.since_ns = self.plane.now_ns
        invocation.batch_items = sum(one.items for one in batch)


@fault(Copy, "enter_host")
def time_in_the_front_end_is_host_time(self: Copy, invocation: Invocation) -> None:
    demand_ns = self.spec.cpu_ns + self.spec.cpu_per_item_ns * invocation.items
    if demand_ns:
        self.cpus.start(Job(1 << 16, demand_ns, lambda _: self.enqueue(invocation)), self.plane.now_ns)
    else:
        self.enqueue(invocation)


_serve = Copy.serve


@fault(Copy, "serve")
def tier_is_asked_at_release(self: Copy, invocation: Invocation) -> None:
    if invocation.stage is Stage.HELD:
        invocation.tier = int(Tier.GPU)
    _serve(self, invocation)


_clear = Copy.clear


@fault(Copy, "clear")
def running_batches_survive_a_crash(self: Copy) -> None:
    running = self.running
    _clear(self)
    self.running = running


# ---- batches formed ahead


@fault(Copy, "launch_formed")
def the_youngest_formed_batch_runs_first(self: Copy) -> None:
    while self.formed and self.running < self.spec.instance_count:
        self.launch(self.formed.pop())


@fault(Copy, "may_form")
def a_batch_too_many_is_formed_ahead(self: Copy) -> bool:
    ahead = self.spec.prefetched_batches + 1 if self.spec.prefetched_batches else 0
    return self.running + len(self.formed) < self.spec.instance_count + ahead


@fault(Copy, "may_form")
def one_batch_is_formed_ahead_and_no_more(self: Copy) -> bool:
    return self.running + len(self.formed) < self.spec.instance_count + min(1, self.spec.prefetched_batches)


_form = Copy.form


@fault(Copy, "form")
def a_formed_batch_takes_in_who_comes_later(self: Copy, batch: list[Invocation]) -> None:
    room = self.spec.max_batch - sum(i.items for i in self.formed[-1]) if self.formed else 0
    if sum(invocation.items for invocation in batch) > room:
        _form(self, batch)
        return
    self.formed[-1].extend(batch)
    for _ in batch:
        self.queue.popleft()


@fault(Copy, "finish")
def formed_batches_wait_for_the_queue_to_fill(self: Copy, batch: list[Invocation], demand_ns: int) -> None:
    self._set_running(self.running - 1)
    for invocation in batch:
        invocation.spend(Reason.COMPUTE, demand_ns)
        invocation.spend(Reason.CONTENTION, self.plane.now_ns - invocation.since_ns - demand_ns)
        self.plane.complete(invocation)
    self.try_form()


@fault(Copy, "clear")
def formed_batches_survive_a_crash(self: Copy) -> None:
    formed = self.formed.copy()
    _clear(self)
    self.formed = formed


# ---- shares of the device


_share_q16 = copy.share_q16


@fault(copy, "share_q16")
def each_batch_wants_the_share_of_the_largest(spec: ServiceSpec, items: int) -> int:
    return _share_q16(spec, 1 << 20)


@fault(copy, "share_q16")
def above_the_table_the_share_is_all_of_the_device(spec: ServiceSpec, items: int) -> int:
    return 1 << 16 if items >= len(spec.service_ns) else _share_q16(spec, items)
