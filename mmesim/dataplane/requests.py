"""Slots of invocations, the list of deadlines, and every way an invocation can end.

Deadlines are a constant time after the issue, so a doubly linked list in order of issue has the next one in front; what
ends is unlinked at once and memory does not grow with the number of invocations.
"""

from __future__ import annotations

import numpy as np

from mmesim.core.types import NONE, Failure
from mmesim.dataplane.api import Stop
from mmesim.dataplane.clients import is_retried, schedule_retry, think
from mmesim.dataplane.jit import inlined, kernel
from mmesim.dataplane.sketch import count_completion, count_failure, count_live
from mmesim.dataplane.state import FREE, State

_TIMEOUT = np.int64(Failure.TIMEOUT)
_IDLE, _INSTANCE_IDLE = np.int64(Stop.IDLE), np.int64(Stop.INSTANCE_IDLE)


@inlined
def take_slot(s: State) -> int:
    """A slot from the free list; there is one (see `kernel.lacking`)."""
    slot = s.clock["free"][0]
    assert slot != NONE
    s.clock["free"][0] = s.requests["next"][slot]
    return slot


@inlined
def free_slot(s: State, slot: int) -> None:
    """Give a slot back."""
    s.requests["stage"][slot] = FREE
    s.requests["next"][slot] = s.clock["free"][0]
    s.clock["free"][0] = slot


@inlined
def expect_deadline(s: State, slot: int) -> None:
    """The invocation was issued after all others: its deadline is the last."""
    r, clock = s.requests, s.clock
    newest = clock["newest"][0]
    r["older"][slot], r["newer"][slot] = newest, NONE
    if newest == NONE:
        clock["oldest"][0] = slot
    else:
        r["newer"][newest] = slot
    clock["newest"][0] = slot


@inlined
def forget_deadline(s: State, slot: int) -> None:
    """The invocation has ended for its caller."""
    r, clock = s.requests, s.clock
    older, newer = r["older"][slot], r["newer"][slot]
    if older == NONE:
        clock["oldest"][0] = newer
    else:
        r["newer"][older] = newer
    if newer == NONE:
        clock["newest"][0] = older
    else:
        r["older"][newer] = older


@inlined
def stop(s: State, kind: int, instance: int, model: int, token: int) -> None:
    """Something the control plane wants to know; delivered when the event is done."""
    at = s.clock["n_stops"][0]
    s.stops["stop"][at], s.stops["token"][at] = kind, token
    s.stops["instance"][at], s.stops["model"][at] = instance, model
    s.clock["n_stops"][0] = at + 1


@inlined
def leave(s: State, slot: int) -> None:
    """The server has finished with an invocation that was sent."""
    instance, model = s.requests["instance"][slot], s.requests["model"][slot]
    row = instance * s.clock["n_models"][0] + model
    copies, instances = s.copies, s.instances
    copies["outstanding"][row] -= 1
    s.models["outstanding"][model] -= 1
    instances["outstanding"][instance] -= 1
    instances["backlog_ns"][instance] -= s.models["service_ns"][model]
    s.clock["outstanding"][0] -= 1
    if copies["watch"][row] == 1 and copies["outstanding"][row] == 0:
        stop(s, _IDLE, instance, model, NONE)
    if instances["draining"][instance] != 0 and instances["outstanding"][instance] == 0:
        stop(s, _INSTANCE_IDLE, instance, NONE, NONE)


@inlined
def complete(s: State, slot: int, t: int, demand_ns: int) -> None:
    """The service of an invocation ends at `t`; one that was abandoned disappears."""
    r = s.requests
    if r["gone"][slot] == 0:
        forget_deadline(s, slot)
        count_live(s, t, -1)
        count_completion(s, slot, t, demand_ns)
        if r["user"][slot] != NONE:
            think(s, r["user"][slot], t + s.services["overhead_ns"][r["service"][slot]])
    leave(s, slot)
    free_slot(s, slot)


@kernel
def fail(s: State, slot: int, failure: int, t: int) -> None:
    """An invocation that stands in no FIFO any more fails at `t`."""
    r = s.requests
    if r["instance"][slot] != NONE:
        leave(s, slot)
    if r["gone"][slot] != 0:
        free_slot(s, slot)
        return
    forget_deadline(s, slot)
    count_live(s, t, -1)
    count_failure(s, slot, failure, t)
    if is_retried(s, slot, failure):
        schedule_retry(s, slot, t)
        return
    if r["user"][slot] != NONE:
        think(s, r["user"][slot], t)
    free_slot(s, slot)


@kernel
def abandon(s: State, slot: int, t: int) -> None:
    """The caller of an invocation that is being served gives up; the server goes on."""
    r = s.requests
    forget_deadline(s, slot)
    count_live(s, t, -1)
    count_failure(s, slot, _TIMEOUT, t)
    r["gone"][slot] = 1
    if is_retried(s, slot, _TIMEOUT):
        again = take_slot(s)
        r["model"][again], r["items"][again], r["user"][again] = r["model"][slot], r["items"][slot], r["user"][slot]
        r["work_q16"][again], r["attempt"][again] = r["work_q16"][slot], r["attempt"][slot]
        r["serial"][again], r["first_issued_ns"][again] = r["serial"][slot], r["first_issued_ns"][slot]
        schedule_retry(s, again, t)
    elif r["user"][slot] != NONE:
        think(s, r["user"][slot], t)
