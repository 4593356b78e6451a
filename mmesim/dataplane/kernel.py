"""The compiled data plane's loop: what happens next, and the entry point.

Events are taken in the order of :mod:`mmesim.dataplane.api`. What an event may need (a slot, room for records, a user's
draws, the next chunk of arrivals) is made sure of before it is begun, so that each return to Python leaves whole
events.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmesim.core.types import NEVER_NS, NONE, Failure
from mmesim.dataplane.api import Stop
from mmesim.dataplane.batching import end_batch, enqueue, file_timer, try_form
from mmesim.dataplane.control import control
from mmesim.dataplane.handle import held
from mmesim.dataplane.heap import pop
from mmesim.dataplane.jit import entry, inlined, kernel
from mmesim.dataplane.requests import abandon, fail, stop, take_slot
from mmesim.dataplane.routing import ROUTED, issue, route, unhold
from mmesim.dataplane.serving import decoded
from mmesim.dataplane.state import (
    ADVANCE,
    BLOCK,
    CHUNK,
    DRAWS,
    GROW_SLOTS,
    HELD,
    HOST,
    RECORDS_FULL,
    State,
)
from mmesim.dataplane.stations import bring, first_station, retune, weight_of

_HORIZON, _WORK_DONE = np.int64(Stop.HORIZON), np.int64(Stop.WORK_DONE)
_NOT_READY = np.int64(Failure.MODEL_NOT_READY)

# Classes of events, in their order at one instant.
STATION, FRONT_END, TIMER, DEADLINE, CLIENT, ARRIVAL = range(1, 7)


@entry
def step(words: NDArray[np.int64], what: int, target: int, first: int, second: int, score: int,
         admit: int) -> tuple[int, int, int, int, int]:
    """Do one act of the control plane, or (ADVANCE) run events before the horizon `first` until something is to tell.

    `words`: see :mod:`mmesim.dataplane.handle`; `score` and `admit`: what :mod:`mmesim.dataplane.pointers` calls.
    Returns (why, now, instance, model, token).
    """
    s = held(words)
    clock = s.clock
    if what != ADVANCE:
        control(s, what, target, first, second)
        return _HORIZON, clock["now_ns"][0], NONE, NONE, NONE
    while True:
        if clock["n_stops"][0] > 0:
            return next_stop(s)
        now = clock["now_ns"][0]
        if clock["pending"][0] != NONE:
            why, instance, model = route(s, now, score, admit)
            if why != ROUTED:
                return why, now, instance, model, NONE
            continue
        if clock["arrival"][0] == clock["arrivals"][0] and clock["exhausted"][0] == 0:
            return CHUNK, now, NONE, NONE, NONE
        kind, t = upcoming(s)
        if t >= first:
            clock["now_ns"][0] = max(now, first)
            return _HORIZON, clock["now_ns"][0], NONE, NONE, NONE
        why = lacking(s, kind, t)
        if why != NONE:
            return why, now, NONE, NONE, NONE
        clock["now_ns"][0] = t
        if kind == STATION:
            station_event(s, first_station(s), t)
        elif kind == FRONT_END:
            decoded(s, t)
        elif kind == TIMER:
            timer_event(s, t)
        elif kind == DEADLINE:
            deadline_event(s, t)
        elif kind == CLIENT:
            client_event(s, t)
        else:
            arrival_event(s, t)


@kernel
def next_stop(s: State) -> tuple[int, int, int, int, int]:
    """Tell one stop; the last one empties the list."""
    clock, stops = s.clock, s.stops
    at = clock["first_stop"][0]
    clock["first_stop"][0] = at + 1
    if at + 1 == clock["n_stops"][0]:
        clock["first_stop"][0] = clock["n_stops"][0] = 0
    return stops["stop"][at], clock["now_ns"][0], stops["instance"][at], stops["model"][at], stops["token"][at]


@inlined
def upcoming(s: State) -> tuple[int, int]:
    """Class and time of the next event; (ARRIVAL, NEVER_NS) when nothing will happen."""
    clock = s.clock
    kind, t = STATION, s.due[1]
    if clock["n_fronts"][0] > 0 and s.fronts["key"][0] < t:
        kind, t = FRONT_END, s.fronts["key"][0]
    if clock["n_timers"][0] > 0:
        fires = next_timer(s)
        if fires < t:
            kind, t = TIMER, fires
    oldest = clock["oldest"][0]
    if oldest != NONE:
        ends = s.requests["issued_ns"][oldest] + clock["timeout_ns"][0]
        if ends < t:
            kind, t = DEADLINE, ends
    if clock["n_clients"][0] > 0 and s.clients["key"][0] < t:
        kind, t = CLIENT, s.clients["key"][0]
    at = clock["arrival"][0]
    if at < clock["arrivals"][0] and s.arrival_ns[at] < t:
        kind, t = ARRIVAL, s.arrival_ns[at]
    return kind, t


@inlined
def next_timer(s: State) -> int:
    """When the next timer fires; entries of timers that were disarmed or put off are set right on the way."""
    clock, timers, lanes = s.clock, s.timers, s.lanes
    while clock["n_timers"][0] > 0:
        row = timers["tie"][0]
        if timers["key"][0] == lanes["timer_ns"][row]:
            return timers["key"][0]
        drop_timer(s)
        if lanes["timer_ns"][row] != NEVER_NS:
            file_timer(s, row)
    return NEVER_NS


@kernel
def drop_timer(s: State) -> None:
    """Take the first entry off the heap of timers."""
    n = s.clock["n_timers"][0]
    s.lanes["entry_ns"][s.timers["tie"][0]] = NEVER_NS
    pop(s.timers, 0, n)
    s.clock["n_timers"][0] = n - 1


@inlined
def lacking(s: State, kind: int, t: int) -> int:
    """What the next event might need and is not there; NONE when it can be begun."""
    clock = s.clock
    if kind not in (STATION, FRONT_END, TIMER) and clock["free"][0] == NONE:
        return GROW_SLOTS
    if clock["record"][0] and clock["n_records"][0] + clock["live"][0] + 1 > clock["record_rows"][0]:
        return RECORDS_FULL
    if kind == CLIENT and s.clients["tie"][0] < clock["n_users"][0]:
        user = s.clients["tie"][0]
        if t < s.users["stop_ns"][user] and s.users["block"][user] != s.users["issued"][user] // BLOCK:
            return DRAWS
    return NONE


@inlined
def station_event(s: State, station: int, t: int) -> None:
    """All jobs of a station that have had their demand leave."""
    bring(s, station, t)
    row, jobs = s.stations, s.jobs
    base = row["base"][station]
    while row["jobs"][station] > 0 and jobs["key"][base] <= row["virtual_q16"][station]:
        item = jobs["item"][base]
        pop(jobs, base, row["jobs"][station])
        row["jobs"][station] -= 1
        row["weight_q16"][station] -= weight_of(s, item)
        if item < 0:
            row["works"][station] -= 1
            stop(s, _WORK_DONE, station >> 1, NONE, -1 - item)
        elif s.requests["stage"][item] == HOST:
            enqueue(s, item, t)
        else:
            end_batch(s, item, t)
    retune(s, station)


@kernel
def timer_event(s: State, t: int) -> None:
    """The first timer fires."""
    row = s.timers["tie"][0]
    drop_timer(s)
    s.lanes["timer_ns"][row] = NEVER_NS
    try_form(s, row, t)


@kernel
def deadline_event(s: State, t: int) -> None:
    """The time of the oldest invocation is up. Held ones at a copy expire in their order: it is the first of them."""
    slot = s.clock["oldest"][0]
    r = s.requests
    if r["stage"][slot] == HELD:
        first = unhold(s, r["instance"][slot] * s.clock["n_models"][0] + r["model"][slot])
        assert first == slot
        fail(s, slot, _NOT_READY, t)
    else:
        abandon(s, slot, t)


@kernel
def client_event(s: State, t: int) -> None:
    """A user wakes, or a failed attempt is tried again."""
    clock, r, users = s.clock, s.requests, s.users
    user, slot = s.clients["tie"][0], s.clients["item"][0]
    pop(s.clients, 0, clock["n_clients"][0])
    clock["n_clients"][0] -= 1
    if user >= clock["n_users"][0]:
        r["attempt"][slot] += 1
        issue(s, slot, t)
    elif t < users["stop_ns"][user]:
        slot = take_slot(s)
        at = users["issued"][user] % BLOCK
        users["issued"][user] += 1
        r["model"][slot], r["work_q16"][slot] = s.draws["model"][user, at], s.draws["work_q16"][user, at]
        r["items"][slot], r["user"][slot], r["attempt"][slot] = clock["user_items"][0], user, 1
        r["first_issued_ns"][slot] = t
        issue(s, slot, t)


@inlined
def arrival_event(s: State, t: int) -> None:
    """The next request of the open workload."""
    r = s.requests
    at = s.clock["arrival"][0]
    s.clock["arrival"][0] = at + 1
    slot = take_slot(s)
    r["model"][slot], r["work_q16"][slot] = s.arrival_model[at], s.arrival_work[at]
    r["items"][slot], r["user"][slot], r["attempt"][slot] = s.arrival_items[at], NONE, 1
    r["first_issued_ns"][slot] = t
    issue(s, slot, t)
