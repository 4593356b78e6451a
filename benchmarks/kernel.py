"""Speed of the kernel without a control plane: each model has READY copies, so no request ever needs Python.

    python -m benchmarks.kernel [--models 2000] [--instances 10] [--rate 1000] [--requests 2000000] [--delay-us 0]

The full model: host stage, dynamic batching, device sharing, deadlines, counters, sketches by model. Prints requests
per second of process time, the median and range of the runs; generation of the requests is outside.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time

import numpy as np

from mmesim.core.residency import ResidencyTable
from mmesim.core.streams import stream
from mmesim.dataplane.api import PlaneSpec, ServiceSpec
from mmesim.dataplane.plane import KernelPlane
from mmesim.policies.admission.always import Always
from mmesim.policies.routing.least_outstanding import LeastOutstanding
from mmesim.workload.types import CHUNK, WORK_ONE, Arrivals


class Poisson:
    """A given number of requests, made before they are asked for."""

    def __init__(self, n: int, rate_rps: float, models: int, seed: int) -> None:
        rng = stream(seed, "benchmark")
        weights = np.arange(1, models + 1) ** -1.0
        t = np.cumsum(rng.exponential(1e9 / rate_rps, n)).astype(np.int64)
        model = rng.permutation(models)[np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(n))]
        every = Arrivals(t, model.astype(np.int32), np.ones(n, np.int32), np.full(n, WORK_ONE))
        self._chunks = [every[at:at + CHUNK] for at in range(0, n, CHUNK)][::-1]

    def next_chunk(self) -> Arrivals | None:
        return self._chunks.pop() if self._chunks else None


def plane(options: argparse.Namespace, n: int) -> KernelPlane:
    """A plane where each model has one or two READY copies."""
    table = ResidencyTable(options.models, options.instances)
    for instance in range(options.instances):
        table.set_serving(instance, True)
    for model in range(options.models):
        for instance in {model % options.instances, (model * 7 + 3) % options.instances}:
            for cause in ("start download", "download finished", "start load", "load finished"):
                table.advance(instance, model, cause)
    service_ns = np.array([0, *(int(1e6 * (2.0 + 0.8 * size)) for size in range(1, 9))])
    model = ServiceSpec(service_ns, share_q16=40_000, cpu_ns=1_000_000, overhead_ns=3_000_000, max_batch=8,
                        max_queue_delay_ns=options.delay_us * 1000)
    spec = PlaneSpec((model,) * options.models, cpu_capacity_q16=8 << 16, interference_q16=3000,
                     record_requests=options.records)
    arrivals = Poisson(n, options.rate, options.models, options.seed)
    return KernelPlane(spec, table, LeastOutstanding(), Always(), arrivals, None)


def run(options: argparse.Namespace, n: int) -> float:
    """Requests per second of process time."""
    subject = plane(options, n)
    subject.advance(1)
    began = time.process_time()
    t = 0
    while not subject.idle():
        t += 60_000_000_000
        subject.advance(t)
        subject.take()
        if options.records:
            subject.take_records()
    spent = time.process_time() - began
    subject.check()
    assert subject.counted()["invocations"] == n
    return n / spent


def main() -> None:
    """Print the rate of several runs of the bare data plane, after one that compiles it."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("models", 2000), ("instances", 10), ("requests", 2_000_000), ("delay-us", 0), ("runs", 5),
                          ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--records", action="store_true")
    options = parser.parse_args()
    began = time.perf_counter()
    run(options, 10_000)
    print(f"first run, compiling included: {time.perf_counter() - began:.1f} s")
    rates = [run(options, options.requests) for _ in range(options.runs)]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{statistics.median(rates) / 1e6:.2f} M requests/s [{min(rates) / 1e6:.2f}..{max(rates) / 1e6:.2f}], "
          f"{memory} MiB at most")


if __name__ == "__main__":
    main()
