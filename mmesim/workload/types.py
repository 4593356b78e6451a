"""What a workload is made of (specs: plain values) and what it gives to the simulator (requests as arrays).

The specs mirror the ``workload:`` section of ``scenarios/reference.yaml`` and were validated at the door
(ranges, units); what only the workload itself can judge (files, names, patterns) it reports as
:class:`mmesim.errors.InputError`.

Streams (:func:`mmesim.core.streams.stream`), each with a purpose of its own so that changing one setting
never moves what another decided: ``arrivals`` (times), ``popularity`` (which model), ``sessions`` (same model
again), ``work`` (relative work), ``thin``, ``scale``, ``surges``, ``trace`` (expansion inside a minute), ``clients``
(closed loop).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmesim.core.distribution import Distribution

WORK_ONE = 1 << 16
"""Relative work 1.0 (the profile's own service time) in Q16 fixed point."""
CHUNK = 131_072
"""Most requests in one chunk."""
BLOCK = 64
"""Draws in one block of a closed-loop client."""
NEVER_NS = int(np.iinfo(np.int64).max)
"""The time that does not come."""


# ---- what the simulator reads


@dataclass(frozen=True, slots=True)
class Arrivals:
    """One chunk of requests, sorted by time (stable); arrays of equal length."""

    t_ns: NDArray[np.int64]
    model: NDArray[np.int32]
    """Index into the sequence of models given to the builder."""
    items: NDArray[np.int32]
    """Samples in the request (client-side batch)."""
    work_q16: NDArray[np.int64]
    """Relative work of the request, at least 1; the mean over a model's requests is `WORK_ONE`."""

    def __len__(self) -> int:
        return len(self.t_ns)

    def __getitem__(self, rows: slice | NDArray[np.bool_] | NDArray[np.intp]) -> Arrivals:
        return Arrivals(self.t_ns[rows], self.model[rows], self.items[rows], self.work_q16[rows])


class ArrivalSource(Protocol):
    """An open workload: chunks in time order, each of at most `CHUNK` and at least one request."""

    def next_chunk(self) -> Arrivals | None:
        """The next chunk, or None when the source is exhausted (and ever after)."""
        ...


class ClosedLoop(Protocol):
    """Closed-loop clients: each sends a request when it starts, and the next a think time after an answer."""

    n_users: int
    items: int
    start_ns: NDArray[np.int64]
    """When each user starts; non-decreasing."""
    stop_ns: NDArray[np.int64]
    """When each user stops sending; `NEVER_NS` when it does not."""

    def draws(self, user: int, block: int) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        """Model, think time after the answer (ns) and work (Q16) of the user's requests from block*BLOCK on.

        Counter-based: any block may be asked for at any time, in any order, and equals itself.
        """
        ...


# ---- what the scenario gives


@dataclass(frozen=True, slots=True)
class WorkloadModel:
    """A model as its clients see it."""

    name: str
    group_weight: float = 1.0
    """Multiplies the model's popularity."""
    service_law: Distribution = field(default_factory=Distribution)
    """Law of the relative work of a request; its mean is 1."""
    available_from_ns: int = 0
    available_until_ns: int | None = None
    """Generators ask for the model in [available_from_ns, available_until_ns) only; None: to the end."""


@dataclass(frozen=True, slots=True)
class ArrivalSpec:
    """When requests come; `use` says which of the fields count (see ``scenarios/reference.yaml``)."""

    use: str = "none"
    """poisson | gamma | mmpp | profile | diurnal | minute_counts | none"""
    rate_rps: float = 0.0
    """Mean rate; for `profile` the rate where the shape is 1."""
    cv: float = 1.0
    """gamma, profile: coefficient of variation of the gaps (of a profile: in the time in which its rate is 1)."""
    rates_rps: tuple[float, ...] = ()
    """mmpp: Poisson rate in each state."""
    mean_sojourn_s: tuple[float, ...] = ()
    """mmpp: mean time in each state (exponential); a state is left for any other with equal probability."""
    shape: tuple[tuple[float, float], ...] = ()
    """profile: (time in s, multiple of rate_rps), linear in between."""
    period_s: float | None = None
    """profile: repeats with this period; None: stays at its last value."""
    peak_to_trough: float = 1.0
    """diurnal: highest over lowest rate of a sinusoid with a period of one day."""
    peak_at_s: float = 0.0
    """diurnal: time of day of the highest rate; the run starts at midnight."""
    file: Path | None = None
    """minute_counts: CSV or Parquet with `minute, count` (a column `model` is summed over)."""
    expand: str = "uniform"
    """minute_counts: how a minute's count becomes times, as in `TraceSpec`."""
    scale: float = 1.0
    """minute_counts: so many times the counts; a broken number becomes one of its whole neighbours, by chance and with
    the right mean (stream ``scale``)."""


@dataclass(frozen=True, slots=True)
class SurgeSpec:
    """A flash crowd: matching models get `factor` times their current rate during [at_s, at_s + for_s)."""

    at_s: float
    for_s: float
    factor: float
    models: str = "*"
    """Shell pattern on model names."""


@dataclass(frozen=True, slots=True)
class PopularitySpec:
    """Which model a request is for."""

    use: str = "uniform"
    """zipf | uniform | explicit | drifting"""
    s: float = 1.0
    """zipf, drifting: weight of rank r is r^-s."""
    shuffle: bool = True
    """zipf, drifting: ranks in random order; False: in the order of the models."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """explicit: model name to weight; a model without one gets no requests."""
    every_s: float = 3600.0
    """drifting: time between two changes."""
    swap: float = 0.05
    """drifting: fraction of the models that trade ranks at a change."""


@dataclass(frozen=True, slots=True)
class TraceSpec:
    """Recorded requests, or counts per minute, from a file."""

    file: Path
    kind: str = "auto"
    """requests (timestamp_s, model[, items, work]) | minute_counts (minute, model, count) | auto"""
    expand: str = "uniform"
    """minute_counts: uniform (anywhere in its minute) | poisson (the count is a rate) | even (equal gaps)"""
    map: str = "round_robin"
    """Trace ids to models: round_robin (id of rank r by requests: model r mod n) | hash (SHA-256) | name."""
    start_s: float = 0.0
    end_s: float | None = None
    """Slice of the trace; its start becomes time 0."""
    thin: float = 1.0
    """Keep each request with this probability."""
    repeat: int = 1
    """Superpose so many copies, copy k shifted by k·min(1 h, slice / repeat) and wrapped round the slice."""


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage of a Locust load shape: until then so many users, started or stopped at so many a second."""

    until_s: float
    users: int
    spawn_rate: float


@dataclass(frozen=True, slots=True)
class ClientsSpec:
    """Closed-loop clients: by Locust's stages, or `users` from the start to the end."""

    wait: Distribution = field(default_factory=lambda: Distribution(mean=0.0))
    """Think time after each answer, in seconds."""
    stages: tuple[StageSpec, ...] = ()
    users: int = 0


@dataclass(frozen=True, slots=True)
class WorkloadSpec:
    """The whole ``workload:`` section but for retries, which belong to the client in the simulation."""

    arrivals: ArrivalSpec = field(default_factory=ArrivalSpec)
    surges: tuple[SurgeSpec, ...] = ()
    popularity: PopularitySpec = field(default_factory=PopularitySpec)
    session_repeat: float = 0.0
    """P(a request is for the model of an earlier one); the popularity of the models stays as it is."""
    session_reach: float = 1.0
    """How many requests back that one lies, on average (geometric, at least 1); 1: it is the one before."""
    items: int = 1
    start_s: float = 0.0
    """What comes before is left out; what follows is as it would be with it, and begins at time 0."""
    only: tuple[str, ...] | None = None
    """Shell patterns: requests for other models are left out; None: for none."""
    trace: TraceSpec | None = None
    """Replaces arrivals and popularity."""
    clients: ClientsSpec | None = None
    """Replaces arrivals."""
