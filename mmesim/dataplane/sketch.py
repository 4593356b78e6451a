"""Counting: what an invocation's end adds to counters, latency sketches and request records."""

from __future__ import annotations

import numpy as np

from mmesim.dataplane.counters import N_REASONS, SKETCH_BUCKETS, SKETCH_SUB_BITS, SKETCH_UNIT_BITS
from mmesim.dataplane.counters import Reason as R
from mmesim.dataplane.jit import inlined, kernel
from mmesim.dataplane.state import State

_HOST, _QUEUE, _BATCH_WAIT, _COMPUTE, _CONTENTION, _OVERHEAD = (
    int(R.HOST_CPU), int(R.QUEUE), int(R.BATCH_WAIT), int(R.COMPUTE), int(R.CONTENTION), int(R.OVERHEAD))
_STALL = int(R.STALL)


@inlined
def bucket(latency_ns: int) -> int:
    """The compiled twin of :func:`mmesim.dataplane.counters.sketch_bucket`."""
    units = latency_ns >> SKETCH_UNIT_BITS
    octave = 0
    while units >= 2 << SKETCH_SUB_BITS:
        units >>= 1
        octave += 1
    return min(SKETCH_BUCKETS - 1, (octave << SKETCH_SUB_BITS) + units)


@inlined
def count_live(s: State, t: int, change: int) -> None:
    """`change` more invocations wait for an end from `t` on."""
    clock = s.clock
    s.endpoint["in_flight_ns"][0] += clock["live"][0] * (t - clock["live_at_ns"][0])
    clock["live_at_ns"][0] = t
    clock["live"][0] += change


@inlined
def count_completion(s: State, slot: int, t: int, demand_ns: int) -> None:
    """An invocation in a batch of this demand was served in time at `t`."""
    r, total, parts = s.requests, s.endpoint, s.parts
    model, tier = r["model"][slot], r["tier"][slot]
    overhead = s.services["overhead_ns"][r["service"][slot]]
    latency = t + overhead - r["issued_ns"][slot]
    launched, enqueued, queue = r["launched_ns"][slot], r["enqueued_ns"][slot], r["full_ns"][slot]
    parts[slot, _HOST] = enqueued - r["host_ns"][slot]
    parts[slot, _QUEUE] = queue
    parts[slot, _BATCH_WAIT] = launched - enqueued - queue
    parts[slot, _COMPUTE] = demand_ns
    parts[slot, _CONTENTION] = t - launched - demand_ns
    parts[slot, _OVERHEAD] = overhead
    reasons = total["reasons_ns"]
    for reason in range(N_REASONS):
        reasons[0, reason] += parts[slot, reason]
    for reason in range(_STALL):
        total["loading_wait_ns"][0] += parts[slot, reason]
    total["completions"][0] += 1
    total["tiers"][0, tier] += 1
    total["latency_ns"][0] += latency
    total["tier_latency_ns"][0, tier] += latency
    s.sent["completions"][r["instance"][slot]] += 1
    s.by_model["completions"][model] += 1
    s.by_model["tiers"][model, tier] += 1
    s.by_model["latency_ns"][model] += latency
    at = bucket(latency)
    s.sketch[tier, at] += 1
    s.sketches[model, at] += 1
    if s.clock["record"][0]:
        row = record(s, slot, np.int64(0), latency)
        for reason in range(N_REASONS):
            s.records["reasons_ns"][row, reason] = parts[slot, reason]


@kernel
def record(s: State, slot: int, failure: int, latency_ns: int) -> int:
    """Write one request record, reasons at zero; returns its row. There is room for it (see `kernel.lacking`)."""
    r, rows = s.requests, s.records
    at = s.clock["n_records"][0]
    s.clock["n_records"][0] = at + 1
    rows["serial"][at] = r["serial"][slot]
    rows["attempt"][at] = r["attempt"][slot]
    rows["user"][at] = r["user"][slot]
    rows["model"][at] = r["model"][slot]
    rows["instance"][at] = r["instance"][slot]
    rows["tier"][at] = r["tier"][slot]
    rows["failure"][at] = failure
    rows["items"][at] = r["items"][slot]
    rows["batch_items"][at] = r["batch_items"][slot]
    rows["issued_ns"][at] = r["issued_ns"][slot]
    rows["first_issued_ns"][at] = r["first_issued_ns"][slot]
    rows["latency_ns"][at] = latency_ns
    for reason in range(N_REASONS):
        rows["reasons_ns"][at, reason] = 0
    return at


@kernel
def count_failure(s: State, slot: int, failure: int, t: int) -> None:
    """An invocation ended at `t` for its caller by this failure."""
    spent_ns = t - s.requests["issued_ns"][slot]
    s.endpoint["failures"][0, failure] += 1
    s.endpoint["failed_ns"][0] += spent_ns
    s.by_model["failures"][s.requests["model"][slot]] += 1
    if s.clock["record"][0]:
        record(s, slot, failure, spent_ns)


@kernel
def split_wait(s: State, slot: int, row: int, t: int) -> None:
    """Split the time held until `t` by the marks of the copy's cold start: DOWNLOAD, EXTRACT, ROOM, LOAD, STALL."""
    copies, parts = s.copies, s.parts
    downloaded = min(max(copies["downloaded_ns"][row], s.requests["issued_ns"][slot]), t)
    extracted = min(max(copies["extracted_ns"][row], downloaded), t)
    started = min(max(copies["load_started_ns"][row], extracted), t)
    ready = min(max(copies["ready_since_ns"][row], started), t)
    parts[slot, 0] = downloaded - s.requests["issued_ns"][slot]
    parts[slot, 1] = extracted - downloaded
    parts[slot, 2] = started - extracted
    parts[slot, 3] = ready - started
    parts[slot, _STALL] = t - ready
