"""Weighted processor sharing in virtual time, and which station completes next.

All jobs of a station run at one speed, so virtual time V says how much service each has had since it came: a job of
demand d that starts at V ends at V = tag = V + d, whatever comes and goes meanwhile. A start or an end is one heap
operation and one new speed; tags never change. V is Q16 ns in int64, so it is set back to 0 when a station falls idle
and, for a station that never does, before it could overflow.

Stations are compared by a tournament tree of times: a change plays from its leaf to the root without a branch that
could be mispredicted, and only when a station's event comes is the winner looked up from the root.
"""

from __future__ import annotations

from mmesim.core.types import NEVER_NS
from mmesim.dataplane.api import ONE_Q16
from mmesim.dataplane.heap import push
from mmesim.dataplane.jit import inlined, kernel
from mmesim.dataplane.state import HOST, State


@inlined
def aim(s: State, station: int, next_ns: int) -> None:
    """The station's next completion is at `next_ns`."""
    due, node, t = s.due, station + s.clock["n_leaves"][0], next_ns
    due[node] = t
    while node > 1:
        t = min(t, due[node ^ 1])
        node >>= 1
        due[node] = t


@inlined
def first_station(s: State) -> int:
    """The station that completes first, the lowest among equals."""
    due, node, leaves = s.due, 1, s.clock["n_leaves"][0]
    while node < leaves:
        node = 2 * node + (due[2 * node] != due[node])
    return node - leaves


@inlined
def bring(s: State, station: int, t: int) -> None:
    """Bring virtual time and the integrals of a station to `t`."""
    row = s.stations
    dt = t - row["at_ns"][station]
    row["at_ns"][station] = t
    if dt > 0 and row["jobs"][station] > 0:
        row["virtual_q16"][station] += dt * row["speed_q16"][station]
        row["busy"][station] += dt * min(row["capacity_q16"][station], row["weight_q16"][station])
        row["jobs_ns"][station] += dt * row["jobs"][station]


@inlined
def speed(s: State, station: int) -> int:
    """Common speed of the station's jobs, Q16."""
    row = s.stations
    capacity, weight = row["capacity_q16"][station], row["weight_q16"][station]
    q16 = ONE_Q16 if weight <= capacity else ONE_Q16 * capacity // weight
    q16 = q16 * row["factor_q16"][station] >> 16
    interference = s.clock["interference_q16"][0] * (row["jobs"][station] - 1)
    if station & 1 == 0 and interference != 0:
        q16 = q16 * (ONE_Q16 * ONE_Q16 // (ONE_Q16 + interference)) >> 16
    return max(q16, 1)


@inlined
def retune(s: State, station: int) -> None:
    """New speed and next completion of a station that was brought to its `at_ns`."""
    row = s.stations
    if row["jobs"][station] == 0:
        aim(s, station, NEVER_NS)
        return
    q16 = speed(s, station)
    row["speed_q16"][station] = q16
    left = max(s.jobs["key"][row["base"][station]] - row["virtual_q16"][station], 0)
    rest = (left + 65535) >> 16 if q16 == ONE_Q16 else (left + q16 - 1) // q16
    aim(s, station, row["at_ns"][station] + rest)


@kernel
def start_job(s: State, station: int, weight_q16: int, demand_ns: int, item: int, t: int) -> None:
    """Start a job at `t`; there is room for it (see `routing.send`)."""
    bring(s, station, t)
    row = s.stations
    jobs, base = row["jobs"][station], row["base"][station]
    assert jobs < row["room"][station]
    if jobs == 0:
        row["virtual_q16"][station] = 0
    elif row["virtual_q16"][station] > s.clock["rebase_q16"][0]:
        for at in range(base, base + jobs):
            s.jobs["key"][at] -= row["virtual_q16"][station]
        row["virtual_q16"][station] = 0
    push(s.jobs, base, jobs, row["virtual_q16"][station] + (demand_ns << 16), row["started"][station], item)
    row["started"][station] += 1
    row["jobs"][station] = jobs + 1
    row["weight_q16"][station] += weight_q16
    retune(s, station)


@inlined
def weight_of(s: State, item: int) -> int:
    """Weight of a running job: a batch wants the share that its model asks for at its size, all else one vCPU."""
    r = s.requests
    if item < 0 or r["stage"][item] == HOST:
        return ONE_Q16
    return share_of(s, r["service"][item], r["batch_items"][item])


@inlined
def share_of(s: State, service: int, items: int) -> int:
    """Share that a batch of so many items wants."""
    services = s.services
    if items > services["n_shares"][service]:
        return services["share_q16"][service]
    return s.tables[services["shares"][service] + items - 1]
