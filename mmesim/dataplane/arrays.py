"""Making the kernel's arrays, and larger ones in their place.

Growing keeps every number that the kernel holds (slots, rows, stations), so it goes on as if there had always been
room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmesim.core.residency import ResidencyTable
from mmesim.core.types import NEVER_NS, NONE, Failure
from mmesim.dataplane.api import ONE_Q16, PlaneSpec, RetrySpec, ServiceSpec
from mmesim.dataplane.counters import (
    ENDPOINT_COUNTERS,
    INSTANCE_COUNTERS,
    MODEL_COUNTERS,
    N_REASONS,
    N_TIERS,
    REQUEST_RECORD,
    SKETCH_BUCKETS,
)
from mmesim.dataplane.state import (
    BLOCK,
    CLOCK,
    DRAW,
    ENTRY,
    LANE,
    REQUEST,
    SERVICE,
    STATION,
    STOP,
    USER,
    Rows,
    State,
)
from mmesim.workload.types import ClosedLoop


@dataclass(frozen=True)
class Room:
    """Sizes that the arrays begin with; all of them grow when they have to."""

    slots: int = 1024
    """Invocations in flight, retries that wait included."""
    jobs: int = 16
    """Jobs of one station."""
    records: int = 65_536
    """Request records between two visits of the kernel."""
    rebase_q16: int = 1 << 60
    """A busy station's virtual time is set back to 0 above this."""


ROOM = Room()
"""What suits a small endpoint."""


def fresh(spec: PlaneSpec, table: ResidencyTable, clients: ClosedLoop | None, room: Room) -> State:
    """The state before anything has happened."""
    services, service_of, tables = service_tables(spec.services)
    rows = table.n_models * table.n_instances
    stations = idle_stations(table.n_instances, spec.cpu_capacity_q16, 0, room.jobs, 0)
    users, waking = first_users(clients)
    clock = fresh_clock(spec, users)
    clock["rebase_q16"] = room.rebase_q16
    clock["user_items"] = 0 if clients is None else clients.items
    return State(
        clock=clock, requests=free_slots(0, room.slots), parts=np.zeros((room.slots, N_REASONS), np.int64),
        lanes=empty_lanes(rows), stations=stations, due=tournament(np.full(len(stations), NEVER_NS)),
        jobs=np.zeros(len(stations) * room.jobs, ENTRY), fronts=np.zeros(room.slots, ENTRY),
        thread_free_ns=np.zeros((table.n_instances, spec.frontend_threads), np.int64), timers=np.zeros(rows + 1, ENTRY),
        clients=np.concatenate([waking, np.zeros(room.slots, ENTRY)]), users=users,
        draws=np.zeros((len(users), BLOCK), DRAW), services=services, service_of=service_of, tables=tables,
        pauses=np.array([0, *map(spec.retry.backoff, range(1, spec.retry.attempts))], np.int64),
        stops=np.zeros(2 * room.slots + 2, STOP), records=np.zeros(room.records, REQUEST_RECORD),
        copies=table.copies, models=table.models, instances=table.instances, ready=table.ready, serving=table.serving,
        arrival_ns=np.zeros(0, np.int64), arrival_model=np.zeros(0, np.int32), arrival_items=np.zeros(0, np.int32),
        arrival_work=np.zeros(0, np.int64), **fresh_counters(table.n_models, table.n_instances))


def measured(state: State) -> State:
    """The same state, which knows the lengths of its arrays."""
    clock = state.clock
    clock["n_slots"], clock["n_stations"] = len(state.requests), len(state.stations)
    clock["n_leaves"], clock["record_rows"] = len(state.due) // 2, len(state.records)
    return state


def more_slots(state: State) -> State:
    """Twice the slots, with what is as long as they are; the new ones go in front of the free list."""
    n = len(state.requests)
    more = free_slots(n, n)
    more["next"][-1] = state.clock["free"][0]
    state.clock["free"] = n
    return state._replace(
        requests=np.concatenate([state.requests, more]), parts=np.concatenate([state.parts, state.parts]),
        clients=np.concatenate([state.clients, np.zeros(n, ENTRY)]),
        fronts=np.concatenate([state.fronts, np.zeros(n, ENTRY)]), stops=more_stops(state, 2 * n).stops)


def more_stops(state: State, n: int) -> State:
    """Room for `n` more stops."""
    return state._replace(stops=np.concatenate([state.stops, np.zeros(n, STOP)]))


def more_jobs(state: State, instance: int) -> State:
    """Twice the room for the jobs of an instance; what lies behind moves up."""
    stations, pieces, base = state.stations, [], 0
    for station in range(len(stations)):
        first, room = int(stations["base"][station]), int(stations["room"][station])
        pieces.append(state.jobs[first:first + room])
        if station >> 1 == instance:
            pieces.append(np.zeros(room, ENTRY))
            room *= 2
        stations["base"][station], stations["room"][station] = base, room
        base += room
    return state._replace(jobs=np.concatenate(pieces))


def more_instances(state: State, table: ResidencyTable, cpu_capacity_q16: int, jobs: int) -> State:
    """Stations, batchers and counters for the instance slots that the table has got."""
    old = len(state.stations) // 2
    rows, new = table.n_models * table.n_instances, table.n_instances - old
    now_ns = int(state.clock["now_ns"][0])
    stations = idle_stations(new, cpu_capacity_q16, len(state.jobs), jobs, now_ns)
    due = state.due[len(state.due) // 2:][:2 * old]
    return state._replace(
        stations=np.concatenate([state.stations, stations]),
        due=tournament(np.concatenate([due, np.full(2 * new, NEVER_NS)])),
        jobs=np.concatenate([state.jobs, np.zeros(2 * new * jobs, ENTRY)]),
        lanes=np.concatenate([state.lanes, empty_lanes(rows - len(state.lanes))]),
        timers=np.concatenate([state.timers, np.zeros(rows + 1 - len(state.timers), ENTRY)]),
        thread_free_ns=np.pad(state.thread_free_ns, ((0, new), (0, 0))),
        sent=np.concatenate([state.sent, np.zeros(new, INSTANCE_COUNTERS)]))


def first_users(clients: ClosedLoop | None) -> tuple[Rows, Rows]:
    """Closed-loop users before their first draw, and the heap of when they start."""
    n = 0 if clients is None else clients.n_users
    users, waking = np.zeros(n, USER), np.zeros(n, ENTRY)
    users["block"] = waking["item"] = NONE
    if clients is not None:
        users["stop_ns"] = clients.stop_ns
        waking["key"], waking["tie"] = clients.start_ns, np.arange(n)
    return users, waking[np.argsort(waking["key"], kind="stable")]  # what is sorted is a heap


def free_slots(first: int, n: int) -> Rows:
    """`n` free slots, linked in order; the last one ends the list. The first has number `first`."""
    slots = np.zeros(n, REQUEST)
    slots["next"] = np.arange(first + 1, first + n + 1)
    slots["next"][-1] = NONE
    return slots


def empty_lanes(n: int) -> Rows:
    """Batchers of `n` copies with nothing in them."""
    lanes = np.zeros(n, LANE)
    for name in ("held_head", "held_tail", "head", "tail", "loaded_ns"):
        lanes[name] = NONE
    lanes["timer_ns"] = lanes["entry_ns"] = NEVER_NS
    return lanes


def idle_stations(n_instances: int, cpu_capacity_q16: int, base: int, room: int, now_ns: int) -> Rows:
    """The two stations of each of `n_instances`, whose heaps of `room` entries lie from `base` on."""
    stations = np.zeros(2 * n_instances, STATION)
    stations["at_ns"] = now_ns
    stations["factor_q16"] = stations["speed_q16"] = ONE_Q16
    stations["capacity_q16"][0::2] = ONE_Q16
    stations["capacity_q16"][1::2] = cpu_capacity_q16
    stations["base"] = base + room * np.arange(2 * n_instances)
    stations["room"] = room
    return stations


def tournament(next_ns: Rows) -> Rows:
    """`State.due` of stations with these next completions."""
    leaves = max(2, 1 << (len(next_ns) - 1).bit_length())
    due = np.full(2 * leaves, NEVER_NS)
    due[leaves:leaves + len(next_ns)] = next_ns
    for node in range(leaves - 1, 0, -1):
        due[node] = due[2 * node:2 * node + 2].min()
    return due


def service_tables(specs: Sequence[ServiceSpec]) -> tuple[Rows, Rows, Rows]:
    """`State.services`, `service_of` and `tables`: what is alike is stored once."""
    rows: dict[tuple[object, ...], int] = {}
    known: list[tuple[int, ...]] = []
    starts: dict[object, int] = {}
    pieces = [np.zeros(0, np.int64)]

    def start(key: object, table: Sequence[int] | Rows) -> int:
        if key not in starts:
            starts[key] = sum(map(len, pieces))
            pieces.append(np.asarray(table, np.int64))
        return starts[key]

    service_of = np.zeros(len(specs), np.int64)
    for model, spec in enumerate(specs):
        share = spec.share_q16
        by_size, above = (share[1:], share[-1]) if isinstance(share, np.ndarray) else ((), share)
        rest = (int(above), *(int(getattr(spec, name)) for name in SERVICE.names[7:]))
        share_key = ("share", id(share) if len(by_size) else NONE)
        key = (id(spec.service_ns), spec.preferred, share_key, rest)
        if key not in rows:
            rows[key] = len(known)
            known.append((start(id(spec.service_ns), spec.service_ns[1:]), len(spec.service_ns) - 1,
                          start(spec.preferred, spec.preferred), len(spec.preferred),
                          start(share_key, by_size), len(by_size), *rest))
        service_of[model] = rows[key]
    return np.array(known, SERVICE), service_of, np.concatenate([*pieces, np.zeros(1, np.int64)])


def fresh_counters(n_models: int, n_instances: int) -> dict[str, Rows]:
    """Counters and sketches at zero, by field of `State`."""
    return {"endpoint": np.zeros(1, ENDPOINT_COUNTERS), "sent": np.zeros(n_instances, INSTANCE_COUNTERS),
            "by_model": np.zeros(n_models, MODEL_COUNTERS), "sketch": np.zeros((N_TIERS, SKETCH_BUCKETS), np.int64),
            "sketches": np.zeros((n_models, SKETCH_BUCKETS), np.uint32)}


def fresh_clock(spec: PlaneSpec, users: Rows) -> Rows:
    """The one row of CLOCK before anything has happened; the policies are still to be entered."""
    clock = np.zeros(1, CLOCK)
    for name in ("oldest", "newest", "pending", "chosen"):
        clock[name] = NONE
    clock["n_models"] = len(spec.services)
    clock["timeout_ns"] = spec.timeout_ns
    clock["interference_q16"] = spec.interference_q16
    clock["frontend_threads"] = spec.frontend_threads
    clock["record"] = spec.record_requests
    clock["n_users"] = clock["n_clients"] = len(users)
    clock["retry_mask"] = retry_mask(spec.retry)
    clock["attempts"] = spec.retry.attempts
    clock["jitter_q16"] = spec.retry.jitter_q16
    clock["route_seed"] = spec.route_seed % (1 << 64)
    clock["retry_seed"] = spec.retry_seed % (1 << 64)
    return clock


def retry_mask(retry: RetrySpec) -> int:
    """Bit f is set when Failure f is tried again."""
    return sum(1 << failure for failure in Failure if failure.http_status in retry.on_status)
