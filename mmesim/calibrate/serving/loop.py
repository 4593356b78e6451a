"""What a closed-loop client would measure of one model on one server: the simulator's data plane, without a fleet.

The client keeps a number of requests in flight, each follows an answer at once (Perf Analyzer's concurrency mode).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmesim.calibrate.serving.curve import BatchCurve
from mmesim.calibrate.serving.timing import Setting, Timing
from mmesim.core.residency import ResidencyTable
from mmesim.core.streams import stream
from mmesim.dataplane.api import ONE_Q16, PlaneSpec
from mmesim.dataplane.counters import Reason
from mmesim.dataplane.plane import KernelPlane
from mmesim.policies.admission.always import Always
from mmesim.policies.routing.least_outstanding import LeastOutstanding
from mmesim.workload.types import BLOCK, NEVER_NS, WORK_ONE

SPREAD = 0.1
"""Requests differ in work by up to this fraction: no two rounds of a real closed loop are alike."""
SETTLING = 5
"""One in so many requests is run to settle and not counted."""
_DRAWS = 1021
"""Blocks of draws; users and rounds take them in turn."""
_DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Observed:
    """What was measured at one load; times in seconds, means over requests unless they say otherwise."""

    request_rps: float
    latency_s: float
    p50_s: float
    p95_s: float
    queue_s: float
    compute_s: float
    outside_s: float
    """Neither in the server's queue nor in compute."""
    batch_requests: float
    """Requests in the mean batch, as the requests see it."""


def closed_loop(timing: Timing, curve: BatchCurve, setting: Setting, concurrency: int, requests: int,
                seed: int = 1) -> Observed:
    """Measure `requests` requests (and some before, to settle) at a concurrency."""
    spec = PlaneSpec((timing.service(curve, setting),), cpu_capacity_q16=ONE_Q16,
                     interference_q16=round(timing.interference_k * ONE_Q16), timeout_ns=_DAY_NS,
                     frontend_threads=timing.frontend_threads, record_requests=True)
    round_ns = int(spec.services[0].service_ns[min(concurrency, setting.max_requests)])
    client = _Client(concurrency, round_ns, seed)
    plane = KernelPlane(spec, _one_ready_copy(), LeastOutstanding(), Always(), None, client)
    return _observed(_records(plane, requests + requests // SETTLING + concurrency), requests)


def _one_ready_copy() -> ResidencyTable:
    table = ResidencyTable(1, 1)
    table.set_serving(0, True)
    for cause in ("start download", "download finished", "start load", "load finished"):
        table.advance(0, 0, cause)
    return table


def _records(plane: KernelPlane, wanted: int) -> NDArray[np.void]:
    """The first `wanted` records, in order of ending."""
    found: list[NDArray[np.void]] = []
    horizon_ns = 1 << 20
    while sum(map(len, found)) < wanted:
        plane.advance(horizon_ns)
        found.append(plane.take_records())
        horizon_ns += horizon_ns // 2
    return np.concatenate(found)[:wanted]


def _observed(rows: NDArray[np.void], requests: int) -> Observed:
    ends_ns = rows["issued_ns"] + rows["latency_ns"]
    counted, before_ns = rows[-requests:], ends_ns[-requests - 1]
    reasons_s = counted["reasons_ns"].mean(axis=0) * 1e-9
    latency_s = counted["latency_ns"] * 1e-9
    queue_s = reasons_s[Reason.QUEUE] + reasons_s[Reason.BATCH_WAIT]
    compute_s = reasons_s[Reason.COMPUTE] + reasons_s[Reason.CONTENTION]
    p50_s, p95_s = np.quantile(latency_s, (0.5, 0.95))
    return Observed(requests / ((ends_ns[-1] - before_ns) * 1e-9), float(latency_s.mean()), float(p50_s), float(p95_s),
                    float(queue_s), float(compute_s), float(latency_s.mean() - queue_s - compute_s),
                    float(counted["batch_items"].mean()))


class _Client:
    """Requests for the one model, each at once after an answer.

    The first ones are spread over a round: were they sent at once, one batch of all but the first would go round for
    ever, and the first alone.
    """

    items = 1

    def __init__(self, concurrency: int, round_ns: int, seed: int) -> None:
        self.n_users = concurrency
        self.start_ns = np.arange(concurrency, dtype=np.int64) * round_ns // concurrency
        self.stop_ns = np.full(concurrency, NEVER_NS)
        self._work = np.rint(stream(seed, "closed loop").uniform(1 - SPREAD, 1 + SPREAD, _DRAWS * BLOCK) * WORK_ONE)
        self._work = self._work.astype(np.int64).reshape(_DRAWS, BLOCK)

    def draws(self, user: int, block: int) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        """See :class:`mmesim.workload.types.ClosedLoop`."""
        return np.zeros(BLOCK, np.int32), np.zeros(BLOCK, np.int64), self._work[(31 * user + block) % _DRAWS]
