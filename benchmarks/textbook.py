"""The baseline of speed: a textbook SimPy model (a process per request) and the kernel on the same requests.

    python -m benchmarks.textbook [--models 2000] [--instances 10] [--rate 1000] [--requests 50000] [--runs 5]

Host stage, FCFS copies, shared devices, no batching, no misses: what a textbook model can express. Both give the same
latencies (checked here); generating the requests and compiling the kernel are outside the time. Prints requests per
second of process time, median and range.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmesim.core.residency import ResidencyTable
from mmesim.dataplane.api import PlaneSpec, ServiceSpec
from mmesim.dataplane.plane import KernelPlane
from mmesim.policies.admission.always import Always
from mmesim.workload.types import Arrivals

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from reference.policies import LeastBusyCopy
from reference.sources import ListSource, open_arrivals
from reference.textbook import TextbookModel, run_textbook

SERVICE_NS, CPU_NS, OVERHEAD_NS, SHARE_Q16, CPUS = 2_800_000, 1_000_000, 3_000_000, 1 << 15, 8


def copies(models: int, instances: int) -> list[list[int]]:
    """Each model has one or two READY copies."""
    return [sorted({model % instances, (model * 7 + 3) % instances}) for model in range(models)]


def zipf(options: argparse.Namespace) -> Arrivals:
    """Poisson requests, popularity Zipf(1), exponential work."""
    rng = np.random.default_rng(options.seed)
    weights = np.cumsum(np.arange(1, options.models + 1) ** -1.0)
    t_ns = np.cumsum(rng.exponential(1e9 / options.rate, options.requests)).astype(np.int64)
    model = np.searchsorted(weights / weights[-1], rng.random(options.requests))
    work_q16 = np.maximum(1, rng.exponential(65536, options.requests)).astype(np.int64)
    return open_arrivals(t_ns, model, 1, work_q16)


def textbook(options: argparse.Namespace, arrivals: Arrivals) -> Callable[[], list[float]]:
    """A run of the textbook model that is ready to go."""
    columns = arrivals.t_ns / 1e9, arrivals.model, (SERVICE_NS * arrivals.work_q16 >> 16) / 1e9
    requests = list(zip(*(column.tolist() for column in columns), strict=True))
    model = TextbookModel(SHARE_Q16 / 65536, CPU_NS / 1e9, OVERHEAD_NS / 1e9)
    ready = copies(options.models, options.instances)
    return lambda: run_textbook([model] * options.models, options.instances, CPUS, 1.0, ready, requests)


def kernel(options: argparse.Namespace, arrivals: Arrivals) -> Callable[[], NDArray[np.float64]]:
    """A run of the kernel that is ready to go; gives latencies in order of arrival."""
    table = ResidencyTable(options.models, options.instances)
    for instance in range(options.instances):
        table.set_serving(instance, True)
    for model, instances in enumerate(copies(options.models, options.instances)):
        for instance in instances:
            for cause in ("start download", "download finished", "start load", "load finished"):
                table.advance(instance, model, cause)
    service = ServiceSpec(np.array([0, SERVICE_NS]), SHARE_Q16, cpu_ns=CPU_NS, overhead_ns=OVERHEAD_NS)
    spec = PlaneSpec((service,) * options.models, CPUS << 16, record_requests=True)
    plane = KernelPlane(spec, table, LeastBusyCopy(), Always(), ListSource(arrivals), None)

    def run() -> NDArray[np.float64]:
        plane.advance(int(arrivals.t_ns[-1]) + 1_000_000_000_000)
        records = plane.take_records()
        return records["latency_ns"][np.argsort(records["serial"])] / 1e9

    return run


def timed(name: str, build: Callable[[], Callable[[], object]], options: argparse.Namespace) -> float:
    """Median speed over the runs, printed."""
    speeds = []
    for _ in range(options.runs):
        run = build()
        start = time.process_time()
        run()
        speeds.append(options.requests / (time.process_time() - start))
    print(f"{name}: {statistics.median(speeds):,.0f} requests/s [{min(speeds):,.0f} .. {max(speeds):,.0f}]")
    return statistics.median(speeds)


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("models", 2000), ("instances", 10), ("rate", 1000), ("requests", 50_000), ("runs", 5),
                          ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    arrivals = zipf(options)
    gap = np.abs(np.array(textbook(options, arrivals)()) - kernel(options, arrivals)())
    print(f"largest difference of a latency: {gap.max() * 1e9:,.0f} ns")
    slow = timed("textbook SimPy", lambda: textbook(options, arrivals), options)
    fast = timed("kernel", lambda: kernel(options, arrivals), options)
    print(f"the kernel is {fast / slow:,.0f} times as fast")


if __name__ == "__main__":
    main()
