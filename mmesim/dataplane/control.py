"""What the control plane does to the data plane between two events."""

from __future__ import annotations

import numpy as np

from mmesim.core.types import NEVER_NS, NONE
from mmesim.dataplane.api import ONE_Q16
from mmesim.dataplane.jit import kernel
from mmesim.dataplane.requests import fail
from mmesim.dataplane.routing import refuse, release, unhold
from mmesim.dataplane.serving import clear_front_end
from mmesim.dataplane.sketch import count_live
from mmesim.dataplane.state import (
    FAIL_HELD,
    FAIL_INSTANCE,
    FREE,
    PENDING,
    REJECT,
    RELEASE,
    RETRY,
    SET_SPEED,
    START_WORK,
    SYNC,
    State,
)
from mmesim.dataplane.stations import aim, bring, retune, start_job


@kernel
def control(s: State, what: int, target: int, first: int, second: int) -> None:
    """One act of the control plane, now. `target` is a row (RELEASE, FAIL_HELD) or an instance."""
    t = s.clock["now_ns"][0]
    if what == RELEASE:
        release(s, target, t)
    elif what == FAIL_HELD:
        fail_held(s, target, first, t)
    elif what == FAIL_INSTANCE:
        fail_instance(s, target, first, t)
    elif what == SET_SPEED:
        set_speed(s, 2 * target, first, t)
        set_speed(s, 2 * target + 1, second, t)
    elif what == START_WORK:
        start_work(s, target, first, t)
    elif what == REJECT:
        refuse(s, s.clock["pending"][0], first, t)
    elif what == SYNC:
        count_live(s, t, 0)
        for station in range(s.clock["n_stations"][0]):
            bring(s, station, t)


@kernel
def fail_held(s: State, row: int, failure: int, t: int) -> None:
    """All invocations held at a copy fail, in order."""
    slot = unhold(s, row)
    while slot != NONE:
        fail(s, slot, failure, t)
        slot = unhold(s, row)


@kernel
def set_speed(s: State, station: int, factor_q16: int, t: int) -> None:
    """A new factor of a station's speed."""
    bring(s, station, t)
    s.stations["factor_q16"][station] = factor_q16
    retune(s, station)


@kernel
def start_work(s: State, instance: int, demand_ns: int, t: int) -> None:
    """Host work with the next token."""
    token = s.clock["works"][0]
    s.clock["works"][0] = token + 1
    s.stations["works"][2 * instance + 1] += 1
    start_job(s, 2 * instance + 1, np.int64(ONE_Q16), demand_ns, -1 - token, t)


@kernel
def fail_instance(s: State, instance: int, failure: int, t: int) -> None:
    """Everything at an instance is lost: invocations in order of issue, then those without a caller."""
    stops = s.clock["n_stops"][0]
    r = s.requests
    clear_instance(s, instance, t)
    clear_front_end(s, instance)
    slot = s.clock["oldest"][0]
    while slot != NONE:
        following = r["newer"][slot]
        if r["instance"][slot] == instance:
            fail(s, slot, failure, t)
        slot = following
    for slot in range(s.clock["n_slots"][0]):
        stage = r["stage"][slot]
        if stage not in (FREE, PENDING, RETRY) and r["instance"][slot] == instance:
            fail(s, slot, failure, t)
    s.clock["n_stops"][0] = stops


@kernel
def clear_instance(s: State, instance: int, t: int) -> None:
    """Stations, queues and timers of an instance are as new."""
    row = s.stations
    for station in (2 * instance, 2 * instance + 1):
        bring(s, station, t)
        row["jobs"][station] = row["weight_q16"][station] = row["works"][station] = 0
        row["factor_q16"][station] = ONE_Q16
        aim(s, station, NEVER_NS)
    lanes, n_models = s.lanes, s.clock["n_models"][0]
    for at in range(instance * n_models, (instance + 1) * n_models):
        lanes["held_head"][at] = lanes["head"][at] = NONE
        lanes["queued"][at] = lanes["queued_items"][at] = 0
        lanes["batches"][at] = 0
        lanes["timer_ns"][at] = NEVER_NS
