"""The state of the compiled data plane: record arrays, addressed field first (``state.requests["next"][slot]``).

Everything the kernel knows lies in these arrays (and in the residency table's), so it can stop anywhere between two
events and go on later, with larger arrays if need be. A *slot* is a row of `REQUEST`: an invocation from its issue to
its end on the server, or a retry that waits for its time. A *row* is a copy: ``instance * n_models + model``. A
*station* is 2·instance (device) or 2·instance + 1 (host CPUs).
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, get_type_hints

import numpy as np
from numpy.typing import NDArray

from mmesim.core.residency import COPY, INSTANCE, MODEL
from mmesim.dataplane.counters import ENDPOINT_COUNTERS, INSTANCE_COUNTERS, MODEL_COUNTERS, REQUEST_RECORD

Rows = NDArray[Any]

BLOCK = 64
"""Draws of a user kept at a time (:data:`mmesim.workload.types.BLOCK`)."""

# Where an invocation is.
FREE, PENDING, HELD, FRONT, HOST, QUEUED, RUNNING, RETRY = range(8)

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
    ("host_ns", np.int64),          # sent or released; then: entered the host stage
    ("enqueued_ns", np.int64),
    ("full_ns", np.int64),          # the copy's `full_ns` when it entered the queue; from the launch on: time in QUEUE
    ("launched_ns", np.int64),
    ("demand_ns", np.int64),        # of the batch it heads
    ("behind", np.int64),           # head of the batch formed after the one it heads; of the last one: the first
], align=True)

LANE = np.dtype([                   # a copy's FIFOs and batcher
    ("held_head", np.int64), ("held_tail", np.int64),
    ("head", np.int64), ("tail", np.int64),
    ("queued", np.int64),           # invocations in the queue
    ("batches", np.int64),          # formed and not ended: above instance_count they wait, the others run
    ("last_formed", np.int64),      # head of the last of those that wait
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
Clients: time, entity of the contract, slot of a retry. Front ends: time of the end, serial, slot."""

SERVICE = np.dtype([                # one row for all models that are served alike
    ("first", np.int64),            # service_ns[1] is tables[first]
    ("length", np.int64),           # entries
    ("preferred", np.int64),        # preferred sizes are tables[preferred:preferred + n_preferred]
    ("n_preferred", np.int64),
    ("shares", np.int64),           # share of b items is tables[shares + b - 1] up to n_shares, above share_q16
    ("n_shares", np.int64),
    ("share_q16", np.int64), ("on_cpu", np.int64),
    ("cpu_ns", np.int64), ("cpu_per_item_ns", np.int64), ("overhead_ns", np.int64),
    ("max_batch", np.int64), ("instance_count", np.int64), ("max_queue_delay_ns", np.int64),
    ("max_queue", np.int64), ("queue_timeout_ns", np.int64), ("first_inference_ns", np.int64),
    ("frontend_ns", np.int64), ("frontend_per_item_ns", np.int64), ("prefetched_batches", np.int64),
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
    ("n_timers", np.int64), ("n_clients", np.int64), ("n_fronts", np.int64),
    ("first_stop", np.int64), ("n_stops", np.int64),
    ("works", np.int64),            # host work ever started: the next token
    ("n_records", np.int64),
    ("n_slots", np.int64), ("n_stations", np.int64), ("n_leaves", np.int64), ("record_rows", np.int64),
    # constants
    ("n_models", np.int64), ("n_users", np.int64), ("user_items", np.int64), ("timeout_ns", np.int64),
    ("frontend_threads", np.int64),
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
    """Next completion, by node of a tournament tree over the stations: node n_leaves + i is station i (NEVER_NS where
    there is none), node n the earlier of 2n and 2n + 1, node 1 the first of all."""
    jobs: Annotated[Rows, ENTRY, 1]
    """The stations' heaps, one after another."""
    fronts: Annotated[Rows, ENTRY, 1]
    """Invocations in the front ends of all instances: when a thread has done with each is known when it is sent."""
    thread_free_ns: Annotated[Rows, np.int64, 2]
    """(instances, threads): when a front-end thread has done with all that was sent."""
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
    hints = get_type_hints(State, include_extras=True)
    return {name: (np.dtype(hint.__metadata__[0]), hint.__metadata__[1]) for name, hint in hints.items()}
