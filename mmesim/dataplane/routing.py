"""From the issue of an invocation to the copy it is sent to: admission, choice of a copy, held or served.

An invocation is issued as *pending* and then routed step by step; each step that needs Python (a miss, a wish, a policy
that could not be compiled, more room) leaves it pending, nothing half done, and is taken up again by the next call.
"""

from __future__ import annotations

import numpy as np

from mmesim.core.lifecycle import Residency
from mmesim.core.residency import decayed as _decayed
from mmesim.core.types import NONE, Failure, Tier
from mmesim.dataplane.api import ONE_Q16, Stop
from mmesim.dataplane.counters import Reason
from mmesim.dataplane.handle import address_of
from mmesim.dataplane.jit import inlined, kernel
from mmesim.dataplane.pointers import call
from mmesim.dataplane.requests import expect_deadline, fail
from mmesim.dataplane.serving import serve
from mmesim.dataplane.sketch import count_live, split_wait
from mmesim.dataplane.state import ADMIT, ASK_ADMIT, ASK_ROUTE, GROW_STATION, HELD, PENDING, ROUTE, State

_READY, _GPU = np.int64(Residency.READY), np.int64(Tier.GPU)
_THROTTLED, _LOAD_FAILED, _LOST = map(np.int64, (Failure.THROTTLED, Failure.LOAD_FAILED, Failure.INSTANCE_LOST))
_MISS, _WISH = np.int64(Stop.MISS), np.int64(Stop.WISH)
_ONE_Q16 = np.int64(ONE_Q16)
_HOST_CPU = int(Reason.HOST_CPU)
_SEND, _REFUSE = np.int64(-2), np.int64(-3)
RAISED = np.int64(-(1 << 63))
"""What a policy's machine code answers when its method raised: Python is asked then, and raises for all to see."""
ROUTED = np.int64(NONE)
"""The pending invocation is pending no more."""

decayed = kernel(_decayed)


@inlined
def issue(s: State, slot: int, t: int) -> None:
    """An invocation whose model, items, work, user, attempt and first issue are in its slot begins at `t`."""
    r, clock = s.requests, s.clock
    r["serial"][slot], r["service"][slot] = clock["serial"][0], s.service_of[r["model"][slot]]
    clock["serial"][0] += 1
    r["stage"][slot], r["gone"][slot], r["issued_ns"][slot] = PENDING, 0, t
    r["instance"][slot], r["tier"][slot], r["batch_items"][slot] = NONE, NONE, 0
    for reason in range(_HOST_CPU):
        s.parts[slot, reason] = 0
    expect_deadline(s, slot)
    count_live(s, t, 1)
    s.endpoint["invocations"][0] += 1
    if r["attempt"][slot] > 1:
        s.endpoint["retries"][0] += 1
    s.by_model["invocations"][r["model"][slot]] += 1
    clock["pending"][0], clock["chosen"][0], clock["wished"][0] = slot, NONE, 0
    clock["step"][0] = ROUTE if clock["always"][0] else ADMIT


@inlined
def route(s: State, t: int, score: int, admit: int) -> tuple[int, int, int]:
    """Route the pending invocation: (ROUTED or why not, instance, model)."""
    clock = s.clock
    slot = clock["pending"][0]
    model = s.requests["model"][slot]
    if clock["step"][0] == ADMIT:
        if clock["ask_admit"][0]:
            return ASK_ADMIT, NONE, model
        admitted = call(admit, s.models["outstanding"][model], clock["outstanding"][0], s.models["n_ready"][model],
                        len(s.serving), t)
        if admitted == RAISED:
            return ASK_ADMIT, NONE, model
        clock["step"][0] = ROUTE
        if admitted == 0:
            refuse(s, slot, _THROTTLED, t)
            return ROUTED, NONE, model
    if clock["blind"][0]:
        why, which = pick_blind(s, slot, model, t, score)
    else:
        why, which = pick_aware(s, slot, model, t, score)
    if why == _SEND:
        why = send(s, slot, which, model, t)
    elif why == _REFUSE:
        refuse(s, slot, which, t)
        why = ROUTED
    return why, which, model


@inlined
def pick_aware(s: State, slot: int, model: int, t: int, score: int) -> tuple[int, int]:
    """A READY copy, or else the cold start under way: (_SEND, instance), (_REFUSE, failure) or a stop."""
    clock, models = s.clock, s.models
    n = np.int64(models["n_ready"][model])
    if n > 0:
        instance = clock["chosen"][0]
        if instance == NONE:
            instance = np.int64(s.ready[model, 0]) if n == 1 else best_ready(s, slot, model, n, t, score)
            if instance == NONE:
                return ASK_ROUTE, NONE
        if clock["wished"][0] == 0 and wishes(s, instance, model, t):
            clock["wished"][0], clock["chosen"][0] = 1, NONE
            return _WISH, NONE
        return _SEND, instance
    if models["joining"][model] >= 0:
        return _SEND, np.int64(models["joining"][model])
    if t < models["failed_until_ns"][model]:
        return _REFUSE, _LOAD_FAILED
    if len(s.serving) == 0:
        return _REFUSE, _LOST
    return _MISS, NONE


@inlined
def wishes(s: State, instance: int, model: int, t: int) -> bool:
    """Whether the chosen copy is so busy that the router wants one more."""
    spill, models, row = s.clock["spill"][0], s.models, instance * s.clock["n_models"][0] + model
    return (spill > 0 and s.copies["outstanding"][row] >= spill
            and models["n_copies"][model] < len(s.serving) and models["joining"][model] == NONE
            and t >= models["wish_after_ns"][model])


@kernel
def pick_blind(s: State, slot: int, model: int, t: int, score: int) -> tuple[int, int]:
    """An instance, wherever the model is: (_SEND, instance), (_REFUSE, failure) or a stop."""
    clock = s.clock
    if clock["chosen"][0] == NONE:
        n = len(s.serving)
        if n == 0:
            return _REFUSE, _LOST
        clock["chosen"][0] = best_serving(s, slot, model, n, t, score)
        if clock["chosen"][0] == NONE:
            return ASK_ROUTE, NONE
    instance = clock["chosen"][0]
    row = instance * clock["n_models"][0] + model
    if s.copies["state"][row] == _READY or s.copies["cold"][row] == 1:
        return _SEND, instance
    if t < s.models["failed_until_ns"][model]:
        return _REFUSE, _LOAD_FAILED
    return _MISS, instance


@inlined
def best_ready(s: State, slot: int, model: int, n: int, t: int, score: int) -> int:
    """The READY copy with the lowest score, the lowest instance among equals; NONE: Python has to be asked."""
    best, lowest = NONE, 0
    if s.clock["ask_route"][0]:
        return NONE
    for k in range(n):
        instance = np.int64(s.ready[model, k])
        value = call(score, address_of(s), slot, instance, k, n, t)
        if value == RAISED:
            return NONE
        if best == NONE or value < lowest:
            best, lowest = instance, value
    return best


@kernel
def best_serving(s: State, slot: int, model: int, n: int, t: int, score: int) -> int:
    """The serving instance with the lowest score, the lowest number among equals; NONE: Python has to be asked."""
    best, lowest = NONE, 0
    if s.clock["ask_route"][0]:
        return NONE
    for k in range(n):
        instance = np.int64(s.serving[k])
        value = call(score, address_of(s), slot, instance, k, n, t)
        if value == RAISED:
            return NONE
        if best == NONE or value < lowest:
            best, lowest = instance, value
    return best


@kernel
def refuse(s: State, slot: int, failure: int, t: int) -> None:
    """The pending invocation fails without having been sent."""
    s.clock["pending"][0] = NONE
    fail(s, slot, failure, t)


@kernel
def send(s: State, slot: int, instance: int, model: int, t: int) -> int:
    """Send the pending invocation to a copy: ROUTED, or GROW_STATION if the instance's stations lack room.

    An instance has never more jobs than invocations and host work, so with room for these a job always finds room.
    """
    r, clock, copies = s.requests, s.clock, s.copies
    if s.instances["outstanding"][instance] + s.stations["works"][2 * instance + 1] >= s.stations["room"][2 * instance]:
        return GROW_STATION
    clock["pending"][0] = NONE
    row = instance * clock["n_models"][0] + model
    copies["outstanding"][row] += 1
    s.models["outstanding"][model] += 1
    s.models["uses"][model] += 1
    s.models["last_use_ns"][model] = t
    s.instances["outstanding"][instance] += 1
    s.instances["backlog_ns"][instance] += s.models["service_ns"][model]
    clock["outstanding"][0] += 1
    copies["last_use_ns"][row] = t
    copies["uses"][row] += 1
    count, at = decayed(copies["rate_q16"][row], copies["rate_at_ns"][row], t)
    copies["rate_q16"][row], copies["rate_at_ns"][row] = count + ONE_Q16, at
    s.sent["invocations"][instance] += 1
    ready = copies["state"][row] == _READY
    r["instance"][slot], r["tier"][slot] = instance, _GPU if ready else copies["tier"][row]
    if ready and s.instances["stalled"][instance] <= 0:
        serve(s, slot, t)
    else:
        hold(s, slot, row)
    return ROUTED


@inlined
def hold(s: State, slot: int, row: int) -> None:
    """The invocation waits at its copy until it is released."""
    r, lanes = s.requests, s.lanes
    r["stage"][slot], r["next"][slot] = HELD, NONE
    if lanes["held_head"][row] == NONE:
        lanes["held_head"][row] = slot
    else:
        r["next"][lanes["held_tail"][row]] = slot
    lanes["held_tail"][row] = slot


@kernel
def unhold(s: State, row: int) -> int:
    """Take the first held invocation of a copy; NONE: there is none."""
    slot = s.lanes["held_head"][row]
    if slot != NONE:
        s.lanes["held_head"][row] = s.requests["next"][slot]
    return slot


@kernel
def release(s: State, row: int, t: int) -> None:
    """Send the held invocations of a copy to the front end, in order."""
    slot = unhold(s, row)
    while slot != NONE:
        split_wait(s, slot, row, t)
        serve(s, slot, t)
        slot = unhold(s, row)
