"""What is counted: interval counters, totals by model, sketches, request records."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmesim.core.types import Failure
from mmesim.dataplane.counters import (
    ENDPOINT_COUNTERS,
    INSTANCE_COUNTERS,
    MODEL_COUNTERS,
    N_TIERS,
    REQUEST_RECORD,
    SKETCH_BUCKETS,
    Counters,
    Reason,
    sketch_bucket,
)
from reference.invocation import Invocation

LOADING = (Reason.DOWNLOAD, Reason.EXTRACT, Reason.ROOM, Reason.LOAD)


class Tally:
    """All counters of a plane."""

    def __init__(self, n_models: int, n_instances: int, keep_records: bool) -> None:
        self.n_models = n_models
        self.keep_records = keep_records
        self.records: list[tuple[object, ...]] = []
        self.in_flight: dict[int, int] = {}
        """Issue time, by serial, of the invocations that have not ended for their callers."""
        self._in_flight_at_ns = 0
        self.since_ns = 0
        self.new_interval(n_instances)
        self.reset_totals()

    def new_interval(self, n_instances: int) -> None:
        """Interval counters start from zero."""
        self.endpoint = np.zeros((), ENDPOINT_COUNTERS)
        self.instances = np.zeros(n_instances, INSTANCE_COUNTERS)
        self.sketch = np.zeros((N_TIERS, SKETCH_BUCKETS), np.int64)

    def grow(self, n_instances: int) -> None:
        """More instance slots."""
        more = n_instances - len(self.instances)
        self.instances = np.concatenate([self.instances, np.zeros(more, INSTANCE_COUNTERS)])

    def reset_totals(self) -> None:
        """Totals by model start from zero."""
        self.models = np.zeros(self.n_models, MODEL_COUNTERS)
        self.model_sketches = np.zeros((self.n_models, SKETCH_BUCKETS), np.uint32)

    def _catch_up(self, now_ns: int) -> None:
        self.endpoint["in_flight_ns"] += len(self.in_flight) * (now_ns - self._in_flight_at_ns)
        self._in_flight_at_ns = now_ns

    def issued(self, invocation: Invocation, now_ns: int) -> None:
        """An invocation came."""
        self._catch_up(now_ns)
        self.in_flight[invocation.serial] = now_ns
        self.endpoint["invocations"] += 1
        self.endpoint["retries"] += invocation.attempt > 1
        self.models["invocations"][invocation.model] += 1

    def sent(self, invocation: Invocation) -> None:
        """It was given to an instance."""
        self.instances["invocations"][invocation.instance] += 1

    def launched(self, instance: int, model: int, items: int) -> None:
        """A batch began."""
        self.instances["batches"][instance] += 1
        for counters in (self.endpoint, self.models[model]):
            counters["batches"] += 1
            counters["batch_items"] += items

    def failed(self, invocation: Invocation, failure: Failure, now_ns: int) -> None:
        """It ended with a failure."""
        self._catch_up(now_ns)
        del self.in_flight[invocation.serial]
        self.endpoint["failures"][failure] += 1
        self.endpoint["failed_ns"] += now_ns - invocation.issued_ns
        self.models["failures"][invocation.model] += 1
        self._record(invocation, failure, now_ns - invocation.issued_ns, [0] * len(Reason))

    def completed(self, invocation: Invocation, latency_ns: int, now_ns: int) -> None:
        """It was answered."""
        self._catch_up(now_ns)
        del self.in_flight[invocation.serial]
        tier, model, reasons = invocation.tier, invocation.model, invocation.reasons_ns
        assert sum(reasons) == latency_ns, f"parts {reasons} of {latency_ns} ns"
        self.instances["completions"][invocation.instance] += 1
        for counters in (self.endpoint, self.models[model]):
            counters["completions"] += 1
            counters["tiers"][tier] += 1
            counters["latency_ns"] += latency_ns
        self.endpoint["reasons_ns"] += np.array(reasons)
        self.endpoint["tier_latency_ns"][tier] += latency_ns
        self.endpoint["loading_wait_ns"] += sum(reasons[reason] for reason in LOADING)
        self.sketch[tier, sketch_bucket(latency_ns)] += 1
        self.model_sketches[model, sketch_bucket(latency_ns)] += 1
        self._record(invocation, Failure.NONE, latency_ns, reasons)

    def _record(self, i: Invocation, failure: Failure, latency_ns: int, reasons_ns: list[int]) -> None:
        if self.keep_records:
            self.records.append((i.serial, i.attempt, i.user, i.model, i.instance, i.tier, int(failure), i.items,
                                 i.batch_items, i.issued_ns, i.first_issued_ns, latency_ns, tuple(reasons_ns)))

    def take(self, now_ns: int) -> Counters:
        """Counters of the interval that ends now."""
        self._catch_up(now_ns)
        counters = Counters(self.since_ns, now_ns, self.endpoint, self.instances, self.sketch)
        self.since_ns = now_ns
        self.new_interval(len(self.instances))
        return counters

    def take_records(self) -> NDArray[np.void]:
        """Rows since the last call."""
        rows, self.records = np.array(self.records, REQUEST_RECORD), []
        return rows
