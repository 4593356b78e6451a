"""What a data plane counts: exact integers of an interval and of each model, request records, latency sketches.

The names and units are part of the contract (:mod:`mmesim.dataplane.api`): times in ns, shares in Q16. Whatever serves
requests counts by these rules, so that its numbers can be put beside another's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from mmesim.core.types import Failure


class Reason(IntEnum):
    """Where a completed invocation's time went; the parts of one invocation add up to its latency exactly."""

    DOWNLOAD = 0
    """Held: the archive was on its way (waiting for a download thread included)."""
    EXTRACT = 1
    ROOM = 2
    """Held: waited for memory (victims unloading) and for a load thread."""
    LOAD = 3
    STALL = 4
    """Held for another reason: admission stalled by an unload, or the READY copy not yet dispatched."""
    FRONTEND = 5
    """From its sending until a thread of the server's front end has received and decoded it: waiting and demand."""
    HOST_CPU = 6
    QUEUE = 7
    """In the batch queue or a formed batch while no execution instance was free."""
    BATCH_WAIT = 8
    """In the batch queue although one was free: waiting for company (max_queue_delay)."""
    COMPUTE = 9
    """The batch's own demand."""
    CONTENTION = 10
    """What sharing the device added to it (actual minus demand)."""
    OVERHEAD = 11
    """Network, and what of the front end is the same for every request."""


N_TIERS = 3
N_FAILURES = len(Failure)
N_REASONS = len(Reason)

ENDPOINT_COUNTERS = np.dtype([
    ("invocations", np.int64),
    ("retries", np.int64),                      # of the invocations, those with attempt > 1
    ("completions", np.int64),                  # answered in time
    ("failures", np.int64, (N_FAILURES,)),      # by Failure; index 0 unused
    ("failed_ns", np.int64),                    # sum over failures of the time from issue to end
    ("tiers", np.int64, (N_TIERS,)),            # completions by Tier
    ("latency_ns", np.int64),                   # sum over completions
    ("reasons_ns", np.int64, (N_REASONS,)),     # sums over completions
    ("tier_latency_ns", np.int64, (N_TIERS,)),
    ("loading_wait_ns", np.int64),              # sum over completions of DOWNLOAD + EXTRACT + ROOM + LOAD
    ("in_flight_ns", np.int64),                 # integral over time of the number issued and not ended for the
                                                # caller, up to service end (overhead excluded)
    ("batches", np.int64),
    ("batch_items", np.int64),
])
INSTANCE_COUNTERS = np.dtype([
    ("invocations", np.int64),                  # sent to it
    ("completions", np.int64),
    ("device_busy", np.int64),                  # integral of min(capacity, sum of weights), Q16·ns
    ("cpu_busy", np.int64),                     # the same for the CPU station
    ("device_jobs_ns", np.int64),               # integral of the number of running batches
    ("batches", np.int64),
])
MODEL_COUNTERS = np.dtype([
    ("invocations", np.int64),
    ("completions", np.int64),
    ("failures", np.int64),
    ("tiers", np.int64, (N_TIERS,)),
    ("latency_ns", np.int64),
    ("batches", np.int64),
    ("batch_items", np.int64),
])

REQUEST_RECORD = np.dtype([
    ("serial", np.int64), ("attempt", np.int32), ("user", np.int32),
    ("model", np.int32), ("instance", np.int32),                    # instance -1: never sent
    ("tier", np.int32), ("failure", np.int32),                      # tier -1: never sent
    ("items", np.int32), ("batch_items", np.int32),                 # batch_items 0: never launched
    ("issued_ns", np.int64), ("first_issued_ns", np.int64), ("latency_ns", np.int64),
    ("reasons_ns", np.int64, (N_REASONS,)),                         # zeros for failures
])

# Latency sketch: values in units of 512 ns; below 64 units exact, above 64 buckets per octave; relative error <= 1/128.
SKETCH_UNIT_BITS = 9
SKETCH_SUB_BITS = 6
SKETCH_BUCKETS = 64 * 28
"""Covers up to 2^33 units = 73 minutes; what is above falls into the last bucket."""


def sketch_bucket(latency_ns: int) -> int:
    """Bucket of a latency: units below 64 one by one, then 64 equal steps in each octave."""
    units = latency_ns >> SKETCH_UNIT_BITS
    if units < 64:
        return units
    octave = units.bit_length() - 1 - SKETCH_SUB_BITS
    return min(SKETCH_BUCKETS - 1, (octave << SKETCH_SUB_BITS) + (units >> octave))


@dataclass
class Counters:
    """What happened since the last `take`: exact integers, plus the latency sketch of completions by tier."""

    since_ns: int
    until_ns: int
    endpoint: NDArray[np.void]
    """0-d array of ENDPOINT_COUNTERS."""
    instances: NDArray[np.void]
    """(instance slots,) of INSTANCE_COUNTERS."""
    sketch: NDArray[np.int64]
    """(N_TIERS, SKETCH_BUCKETS): completions by latency."""
