"""Requests simulated per second by the full model, beside a textbook SimPy model and the kernel alone.

    python -m benchmarks.simulate                  the comparison: full model at two hit ratios, kernel alone, textbook
    python -m benchmarks.simulate --scaling        N, 2N, 4N … requests: time(2N) / time(N) and memory
    python -m benchmarks.simulate --day            a day of 1,000 requests/s: 86.4 million
    python -m benchmarks.simulate --profile        where the time of a miss goes

All on one core, the scenario `many-small` (2,000 models, 10 instances, 1,000 requests/s), rounds interleaved so that
the machine's drift meets all alike. Figures are medians of process time; building the scenario and generating the
requests count, but for the textbook, which gets its requests made beforehand. Journal, trace and report are off.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mmesim.core.residency import ResidencyTable
from mmesim.dataplane.api import Stop
from mmesim.dataplane.plane import KernelPlane
from mmesim.policies.routing.least_outstanding import LeastOutstanding
from mmesim.scenario.build import Build, build
from mmesim.scenario.load import load_scenario
from mmesim.sim.run import simulate

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from reference.textbook import TextbookModel, run_textbook

RATE_RPS = 1000
SIZES = {"99.9 %": "64MiB", "99 %": "68.5MiB"}
"""GPU memory of a model at which about so many requests are hits."""
TEXTBOOK_REQUESTS = 40_000


def scenario(requests: int, gpu_bytes: str) -> Build:
    """The full model, to be run for about so many requests."""
    settings = (f"duration={requests / RATE_RPS}s", "warmup=0s", f"models.0.gpu_bytes={gpu_bytes}",
                "output.journal=false", "output.trace=false", "output.interval=10m")
    return build(load_scenario("many-small", settings))


def full(requests: int, gpu_bytes: str) -> dict[str, Any]:
    """Simulate the whole endpoint."""
    began = time.process_time()
    summary = simulate(scenario(requests, gpu_bytes)).summary
    spent = time.process_time() - began
    done = summary["requests"]["invocations"]
    return {"requests_per_s": done / spent, "seconds": spent, "requests": done,
            "hit_ratio": summary["cache"]["hit_ratio"], "loads": summary["residency"]["loads"],
            "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}


def homes(model: int) -> set[int]:
    """Where a model is READY when there is no control plane to say so."""
    return {model % 10, (7 * model + 3) % 10}


def kernel_alone(requests: int) -> dict[str, Any]:
    """The same requests and models, every model READY on two instances, no control plane, no world."""
    made = scenario(requests, "52MiB")
    table = ResidencyTable(len(made.models), 10)
    for instance in range(10):
        table.set_serving(instance, True)
    for model in range(len(made.models)):
        for instance in homes(model):
            for cause in ("start download", "download finished", "start load", "load finished"):
                table.advance(instance, model, cause)
    routing = LeastOutstanding(spill_outstanding=0)
    plane = KernelPlane(made.plane, table, routing, made.policies.admission, made.arrivals)
    began = time.process_time()
    done = 0
    for end_ns in range(0, made.duration_ns + 1, 60_000_000_000):
        assert plane.advance(end_ns + 1).stop is Stop.HORIZON
        done += int(plane.take().endpoint["completions"])
    spent = time.process_time() - began
    return {"requests_per_s": done / spent, "seconds": spent, "requests": done}


def textbook(requests: int) -> dict[str, Any]:
    """A SimPy process per request; warm."""
    made = scenario(requests, "52MiB")
    service = made.models[0].service
    spec = TextbookModel(service.share_q16 / 65536, service.cpu_ns / 1e9, service.overhead_ns / 1e9)
    assert made.arrivals is not None
    chunks = iter(made.arrivals.next_chunk, None)
    times, models = (np.concatenate(parts) for parts in zip(*((c.t_ns, c.model) for c in chunks), strict=True))
    asked = [(t / 1e9, m, service.service_ns[1] / 1e9) for t, m in zip(times.tolist(), models.tolist(), strict=True)]
    began = time.process_time()
    ready = [sorted(homes(model)) for model in range(len(made.models))]
    run_textbook([spec] * len(made.models), 10, made.instance_type.vcpus, 1.0, ready, asked)
    spent = time.process_time() - began
    return {"requests_per_s": len(asked) / spent, "seconds": spent, "requests": len(asked)}


def compare(requests: int, rounds: int) -> None:
    """The table of the four, and the ratios."""
    cases: dict[str, Callable[[], dict[str, Any]]] = {
        **{f"full model, {name} hits": lambda size=size: full(requests, size) for name, size in SIZES.items()},
        "kernel alone": lambda: kernel_alone(requests), "textbook SimPy": lambda: textbook(TEXTBOOK_REQUESTS)}
    full(20_000, "52MiB")  # compile
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            runs[name].append(case())
    base = statistics.median(run["requests_per_s"] for run in runs["textbook SimPy"])
    for name, done in runs.items():
        rates = [run["requests_per_s"] for run in done]
        middle = statistics.median(rates)
        more = "".join(f", {key} {done[0][key]:,.6g}" for key in ("hit_ratio", "loads", "memory_mib") if key in done[0])
        print(f"{name:28} {middle:12,.0f} requests/s  [{min(rates):,.0f}..{max(rates):,.0f}]  "
              f"{middle / base:6.1f} x textbook   {done[0]['requests']:,} requests{more}")


def in_a_process(requests: int, size: str) -> dict[str, Any]:
    """One full run in a process of its own, for its memory."""
    command = [sys.executable, "-m", "benchmarks.simulate", "--one", str(requests), "--size", size]
    return dict(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def scaling(first: int, last: int, size: str) -> None:
    """Time and memory as the run grows."""
    before = None
    while first <= last:
        one = in_a_process(first, size)
        ratio = f"  time(2N)/time(N) {one['seconds'] / before:.2f}" if before else ""
        print(f"{first:>12,} requests  {one['seconds']:7.1f} s  {one['requests_per_s']:10,.0f}/s  "
              f"{one['memory_mib']} MiB  hits {one['hit_ratio']:.4f}{ratio}", flush=True)
        before, first = one["seconds"], first * 2


def profile(requests: int) -> None:
    """Functions by their own time, in a run at the lower hit ratio."""
    full(20_000, "52MiB")
    made, profiler = scenario(requests, SIZES["99 %"]), cProfile.Profile()
    profiler.runcall(simulate, made)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(30)


def main() -> None:
    """Do the measurement that the options ask for: rounds, scaling with the length, a day, or a profile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=3_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", default=SIZES["99.9 %"])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    for name in ("scaling", "day", "profile"):
        parser.add_argument(f"--{name}", action="store_true")
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if options.one:
        full(20_000, "52MiB")
        print(json.dumps(full(options.one, options.size)))
    elif options.scaling:
        scaling(1_250_000, 20_000_000, options.size)
    elif options.day:
        scaling(86_400_000, 86_400_000, options.size)
    elif options.profile:
        profile(options.requests)
    else:
        compare(options.requests, options.rounds)


if __name__ == "__main__":
    main()
