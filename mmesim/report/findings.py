"""What stands out in a run, in sentences: each from a number of the summary, each saying what to look at next.

The thresholds are rules of thumb for drawing attention, not judgements; the objective judges.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmesim.report.wording import (
    FAILURES,
    attained,
    count,
    percent,
    plural,
    share,
    target_found,
    target_title,
    target_value,
)

THRASHING = 0.2
"""Share of loads that bring back what was evicted shortly before, above which to speak of thrashing."""
NOTABLE_ERRORS = 0.001
LOADING = ("download", "extract", "room", "load", "stall")


def findings(summary: dict[str, Any]) -> list[str]:
    """The sentences, the most important first."""
    return [*_generator(summary), *_objective(summary), *_failures(summary), *_loading(summary), *_thrash(summary),
            *_bottleneck(summary), *_losses(summary), *_partial(summary)]


def _generator(summary: dict[str, Any]) -> Iterator[str]:
    """Of a load test: that its sender was the bottleneck."""
    yield from summary.get("live", {}).get("generator", {}).get("said", ())


def _objective(summary: dict[str, Any]) -> Iterator[str]:
    for name, target in summary["objective"]["targets"].items():
        if not target["met"]:
            value, bound = target_found(name, target), target_value(name, target["target"])
            within = f"; {part} were answered within it" if (part := attained(name, target)) else ""
            yield f"Objective missed: {target_title(name)} is {value}, asked for was {bound}{within}."


def _failures(summary: dict[str, Any]) -> Iterator[str]:
    requests = summary["requests"]
    if (requests["error_rate"] or 0.0) >= NOTABLE_ERRORS:
        name, worst = max(requests["failures"].items(), key=lambda item: item[1]["count"])
        yield (f"{percent(requests['error_rate'])} of requests failed, most of them with “{FAILURES[name]}” "
               f"(HTTP {worst['http_status']}, {count(worst['count'])}).")


def _loading(summary: dict[str, Any]) -> Iterator[str]:
    shares = {name: summary["time"][name]["share"] or 0.0 for name in LOADING}
    total = sum(shares.values())
    if total < 0.25:
        return
    cold = percent(summary["cache"]["cold_start_ratio"])
    if shares["room"] > total / 2:
        yield (f"{percent(shares['room'])} of all time in the system is waiting for memory or a load thread, by the "
               f"{cold} of requests that were cold: the models asked for do not fit in the memory that is in service.")
    else:
        yield (f"{percent(total)} of all time in the system is waiting for models, by the {cold} of requests that were "
               "cold.")


def _thrash(summary: dict[str, Any]) -> Iterator[str]:
    thrash, residency = summary["residency"]["thrash"], summary["residency"]
    if (thrash["reload_share"] or 0.0) >= THRASHING and residency["loads"] >= 20:
        yield (f"Thrashing: {percent(thrash['reload_share'])} of {plural(residency['loads'], 'load')} brought back a "
               f"model that the same instance had evicted less than {thrash['reload_window_s'] / 60:.0f} min before.")


def _bottleneck(summary: dict[str, Any]) -> Iterator[str]:
    use = summary["use"]
    gpu, memory, cpu = (use.get(name, {}).get("mean") for name in ("gpu", "gpu_memory", "cpu"))
    if gpu is not None and memory is not None and max(gpu, cpu) < 50 and memory > 60:
        yield (f"Memory, not compute, sets the size of this fleet: GPU memory is {share(memory)} full while the GPU "
               f"computes {share(gpu)} of the time and the CPUs are busy {share(cpu)}.")
    if cpu is not None and cpu > 70:
        yield f"The hosts' CPUs are busy {share(cpu)} of the time (peak {share(use['cpu']['peak'])}): pre- and " \
              "post-processing limit this endpoint."
    if gpu is not None and gpu > 80:
        yield f"The GPUs are busy {share(gpu)} of the time: expect queueing to grow fast with more traffic."


def _losses(summary: dict[str, Any]) -> Iterator[str]:
    lost = sum(n for reason, n in summary["instances"]["ended"].items() if "lost" in reason or "crash" in reason)
    if lost:
        failed = summary["requests"]["failures"].get("instance_lost", {}).get("count", 0)
        yield f"{plural(lost, 'instance')} died in the measured time, taking {plural(failed, 'request')} along."


def _partial(summary: dict[str, Any]) -> Iterator[str]:
    if summary["run"]["partial"]:
        yield "The run was stopped before its end; everything here covers the part until then."
