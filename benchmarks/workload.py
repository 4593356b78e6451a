"""How fast requests are generated: ns per request, Poisson arrivals, Zipf popularity, constant work.

Run: ``python benchmarks/workload.py [requests]``. The figure is the least of five runs, of CPU time of this process.
"""

from __future__ import annotations

import sys
import time

from mmesim.core.distribution import Distribution
from mmesim.units import ns
from mmesim.workload.build import build_arrivals
from mmesim.workload.types import ArrivalSpec, PopularitySpec, WorkloadModel, WorkloadSpec

RATE_RPS = 1000.0
LOGNORMAL = Distribution("lognormal", cv=0.5)


def models(law: Distribution) -> list[WorkloadModel]:
    """The 2000 models of the benchmark."""
    return [WorkloadModel(f"m{i}", service_law=law) for i in range(2000)]


def ns_per_request(spec: WorkloadSpec, requests: int, law: Distribution) -> float:
    """CPU time per request of one run."""
    source, made = build_arrivals(spec, models(law), seed=1, duration_ns=ns(requests / RATE_RPS)), 0
    begin = time.process_time_ns()
    while (chunk := source.next_chunk()) is not None:
        made += len(chunk)
    return (time.process_time_ns() - begin) / made


def main() -> None:
    """Prints one line a workload."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    zipf = PopularitySpec("zipf", s=1.0)
    poisson, constant = ArrivalSpec("poisson", RATE_RPS), Distribution()
    shape = ((0.0, 0.4), (43_200.0, 1.6))
    cases = {
        "poisson, zipf, constant work": (WorkloadSpec(poisson, popularity=zipf), constant),
        "… with sessions": (WorkloadSpec(poisson, popularity=zipf, session_repeat=0.3), constant),
        "… with lognormal work": (WorkloadSpec(poisson, popularity=zipf), LOGNORMAL),
        "gamma, cv 2": (WorkloadSpec(ArrivalSpec("gamma", RATE_RPS, cv=2.0), popularity=zipf), constant),
        "profile": (WorkloadSpec(ArrivalSpec("profile", RATE_RPS, shape=shape, period_s=86_400.0),
                                 popularity=zipf), constant),
    }
    for name, (spec, law) in cases.items():
        print(f"{name:32} {min(ns_per_request(spec, requests, law) for _ in range(5)):6.1f} ns/request")


if __name__ == "__main__":
    main()
