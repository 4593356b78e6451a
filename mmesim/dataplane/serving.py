"""From a copy to its batch queue: the front end's threads, then the host CPUs.

A front end's demands are known when an invocation is sent and nothing can change them, so the thread and the time of
the end are too: one heap of ends serves all front ends, and who waits there waits in it.
"""

from __future__ import annotations

import numpy as np

from mmesim.dataplane.api import ONE_Q16
from mmesim.dataplane.batching import enqueue
from mmesim.dataplane.counters import Reason
from mmesim.dataplane.heap import pop, push
from mmesim.dataplane.jit import inlined, kernel
from mmesim.dataplane.state import FRONT, HOST, State
from mmesim.dataplane.stations import start_job

_FRONTEND = int(Reason.FRONTEND)
_ONE_Q16 = np.int64(ONE_Q16)


@kernel
def serve(s: State, slot: int, t: int) -> None:
    """An invocation is sent or released: it enters its instance's front end, or passes it by."""
    r, services = s.requests, s.services
    service = r["service"][slot]
    r["host_ns"][slot] = t
    demand = services["frontend_ns"][service] + services["frontend_per_item_ns"][service] * r["items"][slot]
    if demand > 0:
        decode(s, slot, demand, t)
    else:
        enter_host(s, slot, t)


@kernel
def decode(s: State, slot: int, demand_ns: int, t: int) -> None:
    """The first thread of the front end to be free will take the invocation."""
    r, clock, free_ns = s.requests, s.clock, s.thread_free_ns
    instance, first = r["instance"][slot], 0
    for thread in range(1, clock["frontend_threads"][0]):
        if free_ns[instance, thread] < free_ns[instance, first]:
            first = thread
    ends_ns = max(free_ns[instance, first], t) + demand_ns
    free_ns[instance, first] = ends_ns
    r["stage"][slot] = FRONT
    n = clock["n_fronts"][0]
    push(s.fronts, 0, n, ends_ns, r["serial"][slot], slot)
    clock["n_fronts"][0] = n + 1


@inlined
def decoded(s: State, t: int) -> None:
    """A thread has done with the first of all."""
    n, slot = s.clock["n_fronts"][0], s.fronts["item"][0]
    pop(s.fronts, 0, n)
    s.clock["n_fronts"][0] = n - 1
    s.parts[slot, _FRONTEND] = t - s.requests["host_ns"][slot]
    s.requests["host_ns"][slot] = t
    enter_host(s, slot, t)


@kernel
def enter_host(s: State, slot: int, t: int) -> None:
    """An invocation enters the host stage, or passes it by when it asks for nothing there."""
    r, services = s.requests, s.services
    service = r["service"][slot]
    demand = services["cpu_ns"][service] + services["cpu_per_item_ns"][service] * r["items"][slot]
    if demand > 0:
        r["stage"][slot] = HOST
        start_job(s, 2 * r["instance"][slot] + 1, _ONE_Q16, demand, slot, t)
    else:
        enqueue(s, slot, t)


@kernel
def clear_front_end(s: State, instance: int) -> None:
    """An instance is lost: what is in its front end leaves the heap, and the threads are free."""
    fronts, kept = s.fronts, 0
    for at in range(s.clock["n_fronts"][0]):
        ends_ns, serial, slot = fronts["key"][at], fronts["tie"][at], fronts["item"][at]
        if s.requests["instance"][slot] != instance:
            push(fronts, 0, kept, ends_ns, serial, slot)
            kept += 1
    s.clock["n_fronts"][0] = kept
    for thread in range(s.clock["frontend_threads"][0]):
        s.thread_free_ns[instance, thread] = 0
