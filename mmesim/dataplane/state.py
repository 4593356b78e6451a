"""The state of the compiled data plane: record arrays, addressed field first (``state.requests["next"][slot]``).

Everything the kernel knows lies in these arrays (and in the residency table's), so it can stop anywhere between two
events and go on later, with larger arrays if need be. A *slot* is a row of `REQUEST`: an invocation from its issue to its
end on the server, or a retry that waits for its time. A *row* is a copy: ``instance * n_models + model``. A *station* is
2·instance (device) or 2·instance + 1 (host CPUs).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, get_type_hints

import numpy as np
from numpy.typing import NDArray

from mmesim.core.residency import COPY, INSTANCE, MODEL
from mmesim.core.types import NEVER_NS, NONE
from mmesim.dataplane.api import (
    ENDPOINT_COUNTERS,
    INSTANCE_COUNTERS,
    MODEL_COUNTERS,
    N_TIERS,
    ONE_Q16,
    REQUEST_RECORD,
    SKETCH_BUCKETS,
    PlaneSpec,
    ServiceSpec,
)

Rows = NDArray[Any]

BLOCK = 64
"""Draws of a user kept at a time (:data:`mmesim.workload.types.BLOCK`)."""

# Where an invocation is.
FREE, PENDING, HELD, HOST, QUEUED, RUNNING, RETRY = range(7)

# What comes next for a pending invocation: may it enter; where does it go.
ADMIT, ROUTE = range(2)

# Why the entry point comes back, besides `api.Stop`: the wrapper does it and calls again.
CHUNK, DRAWS, GROW_SLOTS, GROW_STATION, RECORDS_FULL, ASK_ADMIT, ASK_ROUTE = range(100, 107)

# What the entry point is asked to do.
ADVANCE, RELEASE, FAIL_HELD, FAIL_INSTANCE, SET_SPEED, START_WORK, REJECT, SYNC = range(8)

REQUEST = np.dtype([
    ("next", np.int64),             # next in its FIFO (held, queue, batch) or in the free list
    ("older", np.int64),            # neighbours in the list of those whose deadline is to come, in order of issue
    ("newer", np.int64),
    ("stage", np.int64),
    ("gone", np.int64),             # 1: abandoned by the caller
    ("model", np.int64),
    ("service", np.int64),          # row of SERVICE
    ("instance", np.int64),
    ("tier", np.int64),
    ("items", np.int64),
    ("batch_items", np.int64),
    ("attempt", np.int64),
    ("user", np.int64),
    ("serial", np.int64),
    ("work_q16", np.int64),
    ("issued_ns", np.int64),
    ("first_issued_ns", np.int64),
    ("host_ns", np.int64),          # entered the host stage
    ("enqueued_ns", np.int64),
    ("full_ns", np.int64),          # the copy's `full_ns` when it entered the queue; from the launch on: time in QUEUE
    ("launched_ns", np.int64),
    ("demand_ns", np.int64),        # of the batch it heads
], align=True)

LANE = np.dtype([                   # a copy's FIFOs and batcher
    ("held_head", np.int64), ("held_tail", np.int64),
    ("head", np.int64), ("tail", np.int64),
    ("queued", np.int64),           # invocations in the queue
    ("running", np.int64),          # batches
    ("queued_items", np.int64),
    ("timer_ns", np.int64),         # when the timer fires; NEVER_NS: disarmed
    ("entry_ns", np.int64),         # time of its entry in the heap of timers, at most timer_ns; NEVER_NS: no entry
    ("full_since_ns", np.int64),    # since when all execution instances run
    ("full_ns", np.int64),          # time that they all ran before
    ("loaded_ns", np.int64),        # `ready_since_ns` of the load whose first batch was launched
], align=True)

STATION = np.dtype([
    ("at_ns", np.int64),            # time that `virtual_q16` and the integrals are brought to
    ("virtual_q16", np.int64),
    ("speed_q16", np.int64),
    ("weight_q16", np.int64),       # sum over the jobs
    ("factor_q16", np.int64),
    ("capacity_q16", np.int64),
    ("jobs", np.int64),
    ("started", np.int64),          # jobs ever: the order of starts
    ("works", np.int64),            # host work among the jobs
    ("base", np.int64),             # its part of `jobs`
    ("room", np.int64),
    ("busy", np.int64),             # integral of min(capacity, weight)
    ("jobs_ns", np.int64),          # integral of the number of jobs
], align=True)

ENTRY = np.dtype([("key", np.int64), ("tie", np.int64), ("item", np.int64)], align=True)
"""Of a heap. Stations: virtual tag, start order, slot (or ``-1 - token`` of host work). Timers: time, row, unused.
Clients: time, entity of the contract, slot of a retry."""

SERVICE = np.dtype([                # one row for all models that are served alike
    ("first", np.int64),            # service_ns[1] is tables[first]
    ("length", np.int64),           # entries
    ("preferred", np.int64),        # preferred sizes are tables[preferred:preferred + n_preferred]
    ("n_preferred", np.int64),
    ("share_q16", np.int64), ("on_cpu", np.int64),
    ("cpu_ns", np.int64), ("cpu_per_item_ns", np.int64), ("overhead_ns", np.int64),
    ("max_batch", np.int64), ("instance_count", np.int64), ("max_queue_delay_ns", np.int64),
    ("max_queue", np.int64), ("queue_timeout_ns", np.int64), ("first_inference_ns", np.int64),
], align=True)

USER = np.dtype([
    ("stop_ns", np.int64), ("issued", np.int64),    # draws used
    ("block", np.int64),                            # block of draws at hand; -1: none
], align=True)
DRAW = np.dtype([("model", np.int64), ("think_ns", np.int64), ("work_q16", np.int64)], align=True)

STOP = np.dtype([("stop", np.int64), ("instance", np.int64), ("model", np.int64), ("token", np.int64)], align=True)

CLOCK = np.dtype([                  # one row: everything there is one of
    ("now_ns", np.int64),
    ("serial", np.int64),           # invocations issued
    ("live", np.int64),             # issued and not ended for the caller
    ("live_at_ns", np.int64),       # time that the integral of `live` is brought to
    ("outstanding", np.int64),      # sent and not finished on the server
    ("free", np.int64),             # free slots: a list ...
    ("oldest", np.int64), ("newest", np.int64),     # ends of the list of deadlines
    ("pending", np.int64),          # slot of the invocation being routed; NONE
    ("step", np.int64),             # ADMIT or ROUTE
    ("chosen", np.int64),           # instance that was chosen for it; NONE
    ("wished", np.int64),           # 1: a wish was spoken for it
    ("arrival", np.int64), ("arrivals", np.int64),  # next row of the chunk, rows
    ("exhausted", np.int64),        # 1: no chunk will follow
    ("n_timers", np.int64), ("n_clients", np.int64),
    ("first_stop", np.int64), ("n_stops", np.int64),
    ("works", np.int64),            # host work ever started: the next token
    ("n_records", np.int64),
    ("n_slots", np.int64), ("n_stations", np.int64), ("n_leaves", np.int64), ("record_rows", np.int64),
    # constants
    ("n_models", np.int64), ("n_users", np.int64), ("user_items", np.int64), ("timeout_ns", np.int64),
    ("interference_q16", np.int64), ("rebase_q16", np.int64), ("record", np.int64),
    ("attempts", np.int64), ("jitter_q16", np.int64), ("retry_mask", np.int64),     # bit f: Failure f is retried
    ("route_seed", np.uint64), ("retry_seed", np.uint64),
    ("blind", np.int64), ("spill", np.int64), ("always", np.int64),
    ("ask_admit", np.int64), ("ask_route", np.int64),   # 1: the policy runs in Python
], align=True)


class State(NamedTuple):
    """All arrays of the kernel; each is annotated with the type of its elements and its dimensions."""

    clock: Annotated[Rows, CLOCK, 1]
    requests: Annotated[Rows, REQUEST, 1]
    parts: Annotated[Rows, np.int64, 2]
    """(slots, N_REASONS): where an invocation's time went; the held time first, the rest when it completes."""
    lanes: Annotated[Rows, LANE, 1]
    stations: Annotated[Rows, STATION, 1]
    due: Annotated[Rows, np.int64, 1]
    """Next completion of each station, filled up to a power of two with NEVER_NS."""
    tree: Annotated[Rows, np.int64, 1]
    """Winner tree over `due`: node 1 holds the station whose completion comes first (ties: the lowest)."""
    jobs: Annotated[Rows, ENTRY, 1]
    """The stations' heaps, one after another."""
    timers: Annotated[Rows, ENTRY, 1]
    clients: Annotated[Rows, ENTRY, 1]
    users: Annotated[Rows, USER, 1]
    draws: Annotated[Rows, DRAW, 2]
    """(users, BLOCK)."""
    services: Annotated[Rows, SERVICE, 1]
    service_of: Annotated[Rows, np.int64, 1]
    """Row of `services` of each model."""
    tables: Annotated[Rows, np.int64, 1]
    pauses: Annotated[Rows, np.int64, 1]
    """Full pause of a retry after attempt k at index k."""
    stops: Annotated[Rows, STOP, 1]
    endpoint: Annotated[Rows, ENDPOINT_COUNTERS, 1]
    """(1,) ENDPOINT_COUNTERS."""
    sent: Annotated[Rows, INSTANCE_COUNTERS, 1]
    """(instances,) INSTANCE_COUNTERS without the integrals, which the stations keep."""
    by_model: Annotated[Rows, MODEL_COUNTERS, 1]
    sketch: Annotated[Rows, np.int64, 2]
    sketches: Annotated[Rows, np.uint32, 2]
    records: Annotated[Rows, REQUEST_RECORD, 1]
    copies: Annotated[Rows, COPY, 1]
    models: Annotated[Rows, MODEL, 1]
    instances: Annotated[Rows, INSTANCE, 1]
    ready: Annotated[Rows, np.int32, 2]
    serving: Annotated[Rows, np.int32, 1]
    arrival_ns: Annotated[Rows, np.int64, 1]
    arrival_model: Annotated[Rows, np.int32, 1]
    arrival_items: Annotated[Rows, np.int32, 1]
    arrival_work: Annotated[Rows, np.int64, 1]


def layout() -> dict[str, tuple[np.dtype[Any], int]]:
    """Type of the elements and number of dimensions of each array of a `State`."""
    return {name: hint.__metadata__ for name, hint in get_type_hints(State, include_extras=True).items()}


def free_slots(first: int, n: int) -> NDArray[np.void]:
    """`n` free slots, linked in order; the last one ends the list. The first has number `first`."""
    slots = np.zeros(n, REQUEST)
    slots["next"] = np.arange(first + 1, first + n + 1)
    slots["next"][-1] = NONE
    return slots


def empty_lanes(n: int) -> NDArray[np.void]:
    """Batchers of `n` copies with nothing in them."""
    lanes = np.zeros(n, LANE)
    for name in ("held_head", "held_tail", "head", "tail", "loaded_ns"):
        lanes[name] = NONE
    lanes["timer_ns"] = lanes["entry_ns"] = NEVER_NS
    return lanes


def idle_stations(n_instances: int, cpu_capacity_q16: int, base: int, room: int, now_ns: int) -> NDArray[np.void]:
    """The two stations of each of `n_instances`, whose heaps of `room` entries lie from `base` on."""
    stations = np.zeros(2 * n_instances, STATION)
    stations["at_ns"] = now_ns
    stations["factor_q16"] = stations["speed_q16"] = ONE_Q16
    stations["capacity_q16"][0::2] = ONE_Q16
    stations["capacity_q16"][1::2] = cpu_capacity_q16
    stations["base"] = base + room * np.arange(2 * n_instances)
    stations["room"] = room
    return stations


def winner_tree(next_ns: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`State.due` and `State.tree` of stations with these next completions."""
    size = max(2, 1 << (len(next_ns) - 1).bit_length())
    due = np.full(size, NEVER_NS)
    due[:len(next_ns)] = next_ns
    nodes = np.concatenate([np.zeros(size, np.int64), np.arange(size)])
    for node in range(size - 1, 0, -1):
        left, right = nodes[2 * node], nodes[2 * node + 1]
        nodes[node] = left if due[left] <= due[right] else right
    return due, nodes[:size].copy()


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
        rest = tuple(int(getattr(spec, name)) for name in SERVICE.names[4:])
        key = (id(spec.service_ns), spec.preferred, rest)
        if key not in rows:
            rows[key] = len(known)
            known.append((start(id(spec.service_ns), spec.service_ns[1:]), len(spec.service_ns) - 1,
                          start(spec.preferred, spec.preferred), len(spec.preferred), *rest))
        service_of[model] = rows[key]
    return np.array(known, SERVICE), service_of, np.concatenate([*pieces, np.zeros(1, np.int64)])


def fresh_counters(n_models: int, n_instances: int) -> dict[str, NDArray[np.generic]]:
    """Counters and sketches at zero, by field of `State`."""
    return {"endpoint": np.zeros(1, ENDPOINT_COUNTERS), "sent": np.zeros(n_instances, INSTANCE_COUNTERS),
            "by_model": np.zeros(n_models, MODEL_COUNTERS), "sketch": np.zeros((N_TIERS, SKETCH_BUCKETS), np.int64),
            "sketches": np.zeros((n_models, SKETCH_BUCKETS), np.uint32)}


def fresh_clock(spec: PlaneSpec) -> NDArray[np.void]:
    """The one row of CLOCK before anything has happened; policies and clients are still to be entered."""
    clock = np.zeros(1, CLOCK)
    for name in ("oldest", "newest", "pending", "chosen"):
        clock[name] = NONE
    clock["n_models"] = len(spec.services)
    clock["timeout_ns"] = spec.timeout_ns
    clock["interference_q16"] = spec.interference_q16
    clock["record"] = spec.record_requests
    clock["attempts"] = spec.retry.attempts
    clock["jitter_q16"] = spec.retry.jitter_q16
    clock["route_seed"] = spec.route_seed % (1 << 64)
    clock["retry_seed"] = spec.retry_seed % (1 << 64)
    return clock


def record_rows(n: int) -> NDArray[np.void]:
    """Room for `n` request records."""
    return np.zeros(n, REQUEST_RECORD)
