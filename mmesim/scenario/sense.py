"""Can it work? Doubts about a scenario whose names all stand for something.

The last of three passes (shape, references, sense). Doubts here are certainties on paper: memory that one copy alone
overflows, offered work above what the whole fleet can do with the best batches, an objective below the time of a
request that never waits. What only a run can show is left to the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil, inf

import numpy as np
from numpy.typing import NDArray

from mmesim.errors import InputError, Problem
from mmesim.scenario.references import Group, References, frontend_threads
from mmesim.scenario.room import instance_spec
from mmesim.scenario.schema import Scenario
from mmesim.scenario.work import bare_s, least_per_item
from mmesim.scenario.workload_spec import duration_s, workload_models, workload_spec
from mmesim.units import format_bytes, format_count, format_duration, ns
from mmesim.workload.popularity import base_shares
from mmesim.workload.stats import expected_rates

MAX_REQUESTS = 1e11
"""More would run for days."""
MAX_PIECES = 1e7
"""Pieces of a rate that changes with time, over the whole run."""


def doubts(scenario: Scenario, found: References) -> Iterator[Problem]:
    """Everything that cannot work, with setting paths."""
    yield from _of_times(scenario)
    yield from _of_ignored(scenario)
    yield from _of_batches(scenario, found)
    yield from _of_room(scenario, found)
    too_much = list(_of_size(scenario))
    yield from too_much or _of_load(scenario, found)


def _of_times(scenario: Scenario) -> Iterator[Problem]:
    length_s = duration_s(scenario)
    if scenario.warmup >= length_s:
        yield Problem(f"nothing of the {format_duration(length_s)} is left after the warm-up", path="warmup",
                      hint="make the warm-up shorter than the duration")
    for i, group in enumerate(scenario.models):
        if group.available_until is not None and group.available_until <= group.available_from:
            yield Problem("the models are removed before they are added", path=f"models.{i}.available_until",
                          hint="make it later than available_from")


def _of_ignored(scenario: Scenario) -> Iterator[Problem]:
    """A setting is never silently ignored."""
    workload = scenario.workload
    unused = ("trace_options",) if workload.trace is None else ("popularity", "sessions")
    reason = "there is no trace" if workload.trace is None else "the trace says which models are asked for"
    for name in unused:
        if getattr(workload, name) != type(workload).model_fields[name].default:
            yield Problem(f"has no effect: {reason}", path=f"workload.{name}", hint="leave it out")


def _of_batches(scenario: Scenario, found: References) -> Iterator[Problem]:
    items = scenario.workload.items
    for i, group in enumerate(found.groups):
        most = max(1, group.value("max_batch_size"))
        if items > most:
            yield Problem(f"Triton refuses {items} items in a request: {group.profile.name} has max_batch_size {most}",
                          path="workload.items", hint=f"write at most {most}, or raise models.{i}.max_batch_size")
        if above := [size for size in group.value("preferred_batch_sizes") if size > most]:
            yield Problem(f"{above[0]} is above max_batch_size {most}", path=f"models.{i}.preferred_batch_sizes",
                          hint=f"write sizes up to {most}")
        if group.settings.prefetched_batches and group.has_queue_limits:
            yield Problem("has no effect: Triton forms no batches ahead of a queue with a limit or a timeout",
                          path=f"models.{i}.prefetched_batches", hint="leave it out, or the queue's limits")


# Memory and disk -----------------------------------------------------------------------------------------------------

def _of_room(scenario: Scenario, found: References) -> Iterator[Problem]:
    """One copy fits into an empty instance, and all pinned models into the fleet."""
    server, kind = scenario.endpoint.server, found.instance_type
    room = instance_spec(server, kind)
    where = "gpu" if room.has_gpu or kind.gpu else "host"
    pinned = 0
    for i, group in enumerate(found.groups):
        base = group.profile.framework_base_bytes if where == "gpu" else 0
        needs = {"gpu_bytes": (group.value("gpu_bytes") + base if where == "gpu" else 0, room.gpu_bytes, "GPU memory"),
                 "host_bytes": (group.value("host_bytes"), room.host_bytes, "host memory"),
                 "disk_bytes": (group.value("disk_bytes"), room.disk_bytes, "disk"),
                 "artifact_bytes": (group.value("artifact_bytes"), room.disk_bytes, "disk")}
        yield from (_no_room(i, group, kind.name, name, *need) for name, need in needs.items() if need[0] > need[1])
        pinned += group.settings.count * group.value(f"{where}_bytes") if group.settings.pin else 0
    fleet = getattr(room, f"{where}_bytes") * scenario.endpoint.instances.max
    if pinned > fleet:
        yield Problem(f"pinned models take {format_bytes(pinned)}; all instances together have {format_bytes(fleet)}",
                      path="models", hint="pin fewer models, or raise endpoint.instances.max")


def _no_room(i: int, group: Group, kind: str, name: str, need: int, room: int, what: str) -> Problem:
    """One copy does not fit into an empty instance."""
    given = getattr(group.settings, name) is not None
    extra = " with its framework" if name == "gpu_bytes" and group.profile.framework_base_bytes else ""
    return Problem(f"one copy of {group.profile.name}{extra} needs {format_bytes(need)} of {what}; "
                   f"a {kind} has {format_bytes(room)} for models", path=f"models.{i}.{name if given else 'profile'}",
                   hint="choose a larger instance type, or a smaller model (thresholds: endpoint.server)")


# Time and load -------------------------------------------------------------------------------------------------------

def _of_size(scenario: Scenario) -> Iterator[Problem]:
    """The run is not too long to be run."""
    spec = workload_spec(scenario)
    arrivals, length_s = spec.arrivals, spec.start_s + duration_s(scenario)
    rate = max(arrivals.rate_rps, *arrivals.rates_rps, 0.0)
    if rate * length_s > MAX_REQUESTS:
        yield Problem(f"about {format_count(rate * length_s)} requests in {format_duration(length_s)}",
                      path="workload.arrivals", hint="make the duration shorter, or the rate lower")
    period_s = min(arrivals.period_s or inf, *arrivals.mean_sojourn_s, inf)
    if length_s / period_s * max(1, len(arrivals.shape)) > MAX_PIECES:
        yield Problem(f"the rate changes too often for {format_duration(length_s)}", path="workload.arrivals",
                      hint="make the duration shorter, or the changes rarer")


def _of_load(scenario: Scenario, found: References) -> Iterator[Problem]:
    try:
        rates = _group_rates(scenario)
    except InputError as error:
        yield from error.problems
        return
    yield from _of_speed(scenario, found, rates / rates.sum() if rates.any() else rates)
    if scenario.workload.clients is None and not scenario.checks.intended_overload:
        yield from _of_capacity(scenario, found, rates)


def _group_rates(scenario: Scenario) -> NDArray[np.float64]:
    """Requests per second to each group; with closed-loop clients, whose rate nobody knows, the groups' shares."""
    spec, models = workload_spec(scenario), workload_models(scenario)
    if spec.popularity.use == "drifting":  # who is popular drifts, how uneven it is does not
        spec = replace(spec, popularity=replace(spec.popularity, use="zipf"))
    if spec.clients is not None:
        each = base_shares(spec.popularity, models, scenario.seed)
    else:
        each = expected_rates(spec, models, scenario.seed, ns(duration_s(scenario)))
    ends = np.cumsum([group.count for group in scenario.models])
    return np.add.reduceat(each, np.concatenate(([0], ends[:-1])))


def _of_speed(scenario: Scenario, found: References, shares: NDArray[np.float64]) -> Iterator[Problem]:
    """A request that never waits is in time."""
    server = scenario.endpoint.server
    alone_s = np.array([bare_s(scenario, group) for group in found.groups])
    for i, group in enumerate(found.groups):
        if alone_s[i] >= server.invocation_timeout:
            yield Problem(f"{group.profile.name} takes {format_duration(alone_s[i])} a request; invocations time out "
                          f"after {format_duration(server.invocation_timeout)}", path=f"models.{i}.profile",
                          hint="raise endpoint.server.invocation_timeout, or lower workload.items")
        load_s = group.value("load_time") or 0.0
        if load_s >= server.load_timeout:
            yield Problem(f"loading takes {format_duration(load_s)}, the time-out is "
                          f"{format_duration(server.load_timeout)}", path=f"models.{i}.load_time",
                          hint="raise endpoint.server.load_timeout")
    if not scenario.checks.hopeless_objective:
        yield from _of_objective(scenario, found, shares, alone_s)


def _of_objective(scenario: Scenario, found: References, shares: NDArray[np.float64],
                  alone_s: NDArray[np.float64]) -> Iterator[Problem]:
    """A latency target lies above the time of requests that never wait."""
    sure = np.array([group.settings.service_law.distribution().is_constant for group in found.groups])
    for name in ("p50_ms", "p99_ms", "warm_p50_ms", "warm_p99_ms"):
        limit_ms, quantile = getattr(scenario.objective, name), 0.99 if "p99" in name else 0.50
        if limit_ms is not None and shares[sure & (alone_s * 1e3 > limit_ms)].sum() > 1 - quantile:
            slowest = format_duration(float(alone_s[sure].max()))
            yield Problem(f"{limit_ms:g} ms cannot be met: requests that never wait take up to {slowest}",
                          path=f"objective.{name}", hint="raise the objective, or use a faster instance type")


def _of_capacity(scenario: Scenario, found: References, rates: NDArray[np.float64]) -> Iterator[Problem]:
    """The fleet at its largest can do the offered work, each model in its best batches."""
    instances = scenario.endpoint.instances
    n = instances.max if scenario.endpoint.autoscaling else instances.initial
    items, kind = scenario.workload.items, found.instance_type
    device = np.array([least_per_item(group, group.profile.device_s) if kind.gpu else 0.0
                       for group in found.groups]) * items
    host = np.array([group.profile.host_cpu_s_of(items) + group.profile.cpu_cores * items *
                     least_per_item(group, group.profile.service_s) for group in found.groups]) / kind.vcpus
    front = np.array([group.profile.frontend_s_of(items) for group in found.groups])
    threads = frontend_threads(scenario.endpoint.server, (group.profile for group in found.groups))
    work = {"GPU": float(rates @ device), "vCPUs": float(rates @ host),
            "front end": float(rates @ front) / threads}
    scarce = max(work, key=lambda name: work[name])
    if work[scarce] > n:
        setting = "max" if scenario.endpoint.autoscaling else "initial"
        yield Problem(f"{rates.sum():.4g} requests/s need the {scarce} of {work[scarce]:.3g} × {kind.name}; "
                      f"there are at most {n}",
                      path="workload.trace" if scenario.workload.trace else "workload.arrivals",
                      hint=f"raise endpoint.instances.{setting} to {ceil(work[scarce])} or more, lower the rate, "
                      "or say checks: {intended_overload: true}")
