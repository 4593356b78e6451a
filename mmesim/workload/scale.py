"""So many times the traffic, everything else as it is.

Rates, counts and users are multiplied: surges, popularity and sessions follow them by themselves. A recording has no
rate to be multiplied: it is superposed as often as the factor needs (:mod:`mmesim.workload.trace` shifts the copies),
and thinned to the rest. Two factors share their random numbers as far as they can: of one recording in as many copies,
the requests at the smaller factor are among those at the larger one.
"""

from __future__ import annotations

import math
from dataclasses import replace

from mmesim.workload.types import ArrivalSpec, ClientsSpec, StageSpec, TraceSpec, WorkloadSpec


def scaled(spec: WorkloadSpec, factor: float) -> WorkloadSpec:
    """The workload with `factor` times the rate, or the users."""
    if factor == 1:
        return spec
    return replace(spec, arrivals=_arrivals(spec.arrivals, factor),
                   trace=None if spec.trace is None else _trace(spec.trace, factor),
                   clients=None if spec.clients is None else _clients(spec.clients, factor))


def _arrivals(spec: ArrivalSpec, factor: float) -> ArrivalSpec:
    return replace(spec, rate_rps=spec.rate_rps * factor, scale=spec.scale * factor,
                   rates_rps=tuple(rate * factor for rate in spec.rates_rps))


def _trace(spec: TraceSpec, factor: float) -> TraceSpec:
    copies = math.ceil(factor)
    return replace(spec, repeat=spec.repeat * copies, thin=spec.thin * factor / copies)


def _clients(spec: ClientsSpec, factor: float) -> ClientsSpec:
    """Ramps take as long as before, so users come and go so many times as fast."""
    stages = tuple(StageSpec(stage.until_s, _users(stage.users, factor), stage.spawn_rate * factor)
                   for stage in spec.stages)
    return replace(spec, users=_users(spec.users, factor), stages=stages)


def _users(users: int, factor: float) -> int:
    """To the nearest; some remain some."""
    return max(min(users, 1), round(users * factor))
