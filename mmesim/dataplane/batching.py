"""Triton's dynamic batcher, one a copy: the queue, when a batch is formed and launched, what it demands.

A queue is a linked FIFO of slots; a batch is a piece of it that was cut off, and is known by its head. The walk from
the head that the rules ask for is spared where the sum of items in the queue tells its result. Batches formed ahead are
a FIFO of heads; they wait only while all execution instances run, so the one place that launches them is the end of
another batch.
"""

from __future__ import annotations

import numpy as np

from mmesim.core.lifecycle import Residency
from mmesim.core.types import NEVER_NS, NONE, Failure
from mmesim.dataplane.heap import push
from mmesim.dataplane.jit import inlined, kernel
from mmesim.dataplane.requests import complete, fail
from mmesim.dataplane.state import QUEUED, RUNNING, State
from mmesim.dataplane.stations import share_of, start_job

_READY, _QUEUE_FULL = np.int64(Residency.READY), np.int64(Failure.QUEUE_FULL)


@inlined
def full_ns(s: State, row: int, count: int, t: int) -> int:
    """For how long all execution instances of a copy have been busy until `t`, over its life."""
    lanes = s.lanes
    now = t - lanes["full_since_ns"][row] if lanes["batches"][row] >= count else 0
    return lanes["full_ns"][row] + now


@kernel
def enqueue(s: State, slot: int, t: int) -> None:
    """An invocation enters the batch queue of its copy."""
    r, lanes = s.requests, s.lanes
    service = r["service"][slot]
    row = r["instance"][slot] * s.clock["n_models"][0] + r["model"][slot]
    limit = s.services["max_queue"][service]
    if limit > 0 and lanes["queued"][row] >= limit:
        fail(s, slot, _QUEUE_FULL, t)
    else:
        r["stage"][slot], r["next"][slot], r["enqueued_ns"][slot] = QUEUED, NONE, t
        r["full_ns"][slot] = full_ns(s, row, s.services["instance_count"][service], t)
        if lanes["queued"][row] == 0:
            lanes["head"][row] = slot
        else:
            r["next"][lanes["tail"][row]] = slot
        lanes["tail"][row] = slot
        lanes["queued"][row] += 1
        lanes["queued_items"][row] += r["items"][slot]
    try_form(s, row, t)


@inlined
def cut(s: State, row: int, last: int, n: int, items: int) -> None:
    """Take the first `n` invocations, up to `last`, off the queue of a copy."""
    lanes = s.lanes
    lanes["head"][row] = s.requests["next"][last]
    lanes["queued"][row] -= n
    lanes["queued_items"][row] -= items
    s.requests["next"][last] = NONE


@kernel
def drop_expired(s: State, row: int, timeout_ns: int, t: int) -> None:
    """Invocations that waited longer than the queue's timeout fail."""
    r, lanes = s.requests, s.lanes
    while lanes["queued"][row] > 0 and t - r["enqueued_ns"][lanes["head"][row]] > timeout_ns:
        head = lanes["head"][row]
        cut(s, row, head, 1, r["items"][head])
        fail(s, head, _QUEUE_FULL, t)


@inlined
def prefix(s: State, row: int, service: int, t: int) -> int:
    """How many invocations from the head are to form a batch now; 0: wait for the delay."""
    r, lanes, services = s.requests, s.lanes, s.services
    most, n_preferred, first = (services["max_batch"][service], services["n_preferred"][service],
                                services["preferred"][service])
    late = t - r["enqueued_ns"][lanes["head"][row]] >= services["max_queue_delay_ns"][service]
    if n_preferred == 0 and lanes["queued_items"][row] < most:
        return lanes["queued"][row] if late else 0
    slot = lanes["head"][row]
    walked, items, preferred = 0, 0, 0
    while slot != NONE and (walked == 0 or items + r["items"][slot] <= most):
        items += r["items"][slot]
        walked += 1
        for k in range(first, first + n_preferred):
            if s.tables[k] == items:
                preferred = walked
        slot = r["next"][slot]
    if preferred > 0:
        return preferred
    return walked if late or slot != NONE or items >= most else 0


@kernel
def try_form(s: State, row: int, t: int) -> None:
    """Form batches of a copy until none can be formed, and launch each for which an execution instance is free."""
    lanes, services = s.lanes, s.services
    while lanes["queued"][row] > 0:
        service = s.requests["service"][lanes["head"][row]]
        batches, count = lanes["batches"][row], services["instance_count"][service]
        if batches >= count + services["prefetched_batches"][service] or s.copies["state"][row] != _READY:
            return
        if services["queue_timeout_ns"][service] > 0:
            drop_expired(s, row, services["queue_timeout_ns"][service], t)
            if lanes["queued"][row] == 0:
                break
        n = prefix(s, row, service, t)
        if n == 0:
            arm(s, row, s.requests["enqueued_ns"][lanes["head"][row]] + services["max_queue_delay_ns"][service])
            return
        head = form(s, row, n)
        if batches < count:
            launch(s, row, service, head, t)
        else:
            put_by(s, row, head, batches > count)
    lanes["timer_ns"][row] = NEVER_NS


@inlined
def form(s: State, row: int, n: int) -> int:
    """Cut a batch of `n` invocations off the queue; returns its head."""
    r, head = s.requests, s.lanes["head"][row]
    last, items = head, r["items"][head]
    for _ in range(n - 1):
        last = r["next"][last]
        items += r["items"][last]
    cut(s, row, last, n, items)
    s.lanes["batches"][row] += 1
    return head


@kernel
def put_by(s: State, row: int, head: int, others: bool) -> None:
    """A formed batch waits for an execution instance, behind the others that wait: a ring, known by its last."""
    behind, last = s.requests["behind"], s.lanes["last_formed"]
    behind[head] = behind[last[row]] if others else head
    if others:
        behind[last[row]] = head
    last[row] = head


@kernel
def launch_formed(s: State, row: int, t: int) -> None:
    """An execution instance takes the oldest formed batch."""
    behind, last = s.requests["behind"], s.lanes["last_formed"][row]
    head = behind[last]
    behind[last] = behind[head]
    launch(s, row, s.requests["service"][head], head, t)


@kernel
def launch(s: State, row: int, service: int, head: int, t: int) -> None:
    """Start a batch on its station."""
    r, lanes, services = s.requests, s.lanes, s.services
    instance, model, count = r["instance"][head], r["model"][head], services["instance_count"][service]
    full = lanes["full_ns"][row]
    slot, items, work = head, 0, 0
    while slot != NONE:
        items += r["items"][slot]
        work += r["items"][slot] * r["work_q16"][slot]
        r["stage"][slot], r["launched_ns"][slot] = RUNNING, t
        r["full_ns"][slot] = full - r["full_ns"][slot]
        slot = r["next"][slot]
    slot = head
    while slot != NONE:
        r["batch_items"][slot] = items
        slot = r["next"][slot]
    demand = batch_demand(s, service, items, work)
    if lanes["loaded_ns"][row] != s.copies["ready_since_ns"][row]:
        lanes["loaded_ns"][row] = s.copies["ready_since_ns"][row]
        demand += services["first_inference_ns"][service]
    r["demand_ns"][head] = demand
    if lanes["batches"][row] >= count:
        lanes["full_since_ns"][row] = t
    s.endpoint["batches"][0] += 1
    s.endpoint["batch_items"][0] += items
    s.sent["batches"][instance] += 1
    s.by_model["batches"][model] += 1
    s.by_model["batch_items"][model] += items
    start_job(s, 2 * instance + services["on_cpu"][service], share_of(s, service, items), demand, head, t)


@inlined
def batch_demand(s: State, service: int, items: int, work_q16: int) -> int:
    """Service time of a batch of so many items and so much work, before `first_inference_ns`.

    ``service · W // B`` is taken apart at B so that long batches of heavy requests do not overflow.
    """
    services, tables = s.services, s.tables
    first, length = services["first"][service], services["length"][service]
    if items <= length:
        alone = tables[first + items - 1]
    else:
        last = tables[first + length - 1]
        step = last - tables[first + length - 2] if length > 1 else last
        alone = last + step * (items - length)
    if items == 1:
        demand = alone * work_q16
    else:
        demand = alone * (work_q16 // items) + alone * (work_q16 % items) // items
    return max(demand >> 16, 1)


@kernel
def end_batch(s: State, head: int, t: int) -> None:
    """A batch has been served at `t`: its invocations complete, then the next batches of its copy have their turn."""
    r, lanes = s.requests, s.lanes
    row = r["instance"][head] * s.clock["n_models"][0] + r["model"][head]
    count = s.services["instance_count"][r["service"][head]]
    lanes["full_ns"][row] = full_ns(s, row, count, t)
    lanes["batches"][row] -= 1
    demand = r["demand_ns"][head]
    slot = head
    while slot != NONE:
        following = r["next"][slot]
        complete(s, slot, t, demand)
        slot = following
    if lanes["batches"][row] >= count:
        launch_formed(s, row, t)
    try_form(s, row, t)


@kernel
def arm(s: State, row: int, fires_ns: int) -> None:
    """Set the copy's timer. Times of one copy never go back, so an entry already in the heap is early enough."""
    lanes = s.lanes
    lanes["timer_ns"][row] = fires_ns
    if lanes["entry_ns"][row] == NEVER_NS:
        file_timer(s, row)


@kernel
def file_timer(s: State, row: int) -> None:
    """Enter the copy's timer into the heap."""
    n = s.clock["n_timers"][0]
    s.lanes["entry_ns"][row] = s.lanes["timer_ns"][row]
    push(s.timers, 0, n, s.lanes["timer_ns"][row], row, NONE)
    s.clock["n_timers"][0] = n + 1
