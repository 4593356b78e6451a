"""A data plane on a bench, to be compared with theory: READY copies, a given workload, exact latencies.

One unit of time is 1 ms. Every run ends empty, and checks Little's law and conservation as identities: the integral of
the number in flight is the sum of all latencies, to the nanosecond.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mmesim.core.policy import AdmissionPolicy, RoutingPolicy
from mmesim.core.residency import ResidencyTable
from mmesim.core.types import Failure
from mmesim.dataplane.api import ONE_Q16, DataPlane, PlaneSpec, RetrySpec, ServiceSpec, Stop, Stopped
from mmesim.dataplane.plane import KernelPlane
from mmesim.policies.admission.always import Always
from mmesim.policies.routing.random import Random
from mmesim.workload.types import NEVER_NS, Arrivals
from reference.sources import ListSource, open_arrivals

UNIT_NS = 1_000_000
TAKE_EVERY_NS = 1_000_000_000_000
"""Counters are read so often; the contract allows 30 minutes."""

Law = Callable[[np.random.Generator, int], NDArray[np.float64]]


def deterministic(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Always 1."""
    return np.ones(n)


def exponential(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Mean 1, cs2 = 1."""
    return rng.exponential(1.0, n)


def erlang4(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Mean 1, cs2 = 1/4."""
    return rng.gamma(4.0, 0.25, n)


def lognormal(cs2: float) -> Law:
    """Mean 1 and this squared coefficient of variation."""
    sigma2 = np.log(1 + cs2)
    return lambda rng, n: rng.lognormal(-sigma2 / 2, np.sqrt(sigma2), n)


def hyperexponential4(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Mean 1, cs2 = 4: two exponential phases with balanced means."""
    often = (1 + np.sqrt(3 / 5)) / 2
    return rng.exponential(1.0, n) / np.where(rng.random(n) < often, 2 * often, 2 * (1 - often))


def poisson(rng: np.random.Generator, rate: float, n: int, law: Law = exponential, model: NDArray[np.int64] | int = 0,
            ) -> Arrivals:
    """Poisson arrivals, `rate` per unit of time, whose work follows `law`."""
    t_ns = np.cumsum(np.rint(rng.exponential(UNIT_NS / rate, n))).astype(np.int64)
    work_q16 = np.maximum(1, np.rint(law(rng, n) * ONE_Q16)).astype(np.int64)
    return open_arrivals(t_ns, model, 1, work_q16)


def service(mean: float = 1.0, per_item: float | None = None, **options: object) -> ServiceSpec:
    """A model whose batch of b takes `mean`, or mean + per_item·b, units."""
    table = [0, mean, mean] if per_item is None else [0, mean + per_item, mean + 2 * per_item]
    return ServiceSpec(np.rint(np.array(table) * UNIT_NS).astype(np.int64), **options)  # type: ignore[arg-type]


def ready_table(n_models: int, n_instances: int) -> ResidencyTable:
    """Everything READY everywhere, at time 0."""
    table = ResidencyTable(n_models, n_instances)
    for instance in range(n_instances):
        table.set_serving(instance, True)
        for model in range(n_models):
            for cause in ("start download", "download finished", "start load", "load finished"):
                table.advance(instance, model, cause)
    return table


@dataclass
class Ran:
    """What a run showed; times in units."""

    records: NDArray[np.void]
    in_flight_ns: int
    batches: int
    batch_items: int
    device_busy: int
    stops: list[Stopped] = field(default_factory=list)

    @property
    def until_ns(self) -> int:
        """When the last one ended."""
        return int((self.records["issued_ns"] + self.records["latency_ns"]).max())

    @cached_property
    def ok(self) -> NDArray[np.void]:
        """Records of those answered, without the first tenth (it began empty)."""
        kept = self.records[self.records["serial"] >= len(self.records) // 10]
        return kept[kept["failure"] == 0]

    @property
    def sojourn(self) -> NDArray[np.float64]:
        """Time in the system of those answered."""
        return self.ok["latency_ns"] / UNIT_NS

    def share_failed(self, failure: Failure) -> float:
        """Share of all invocations that ended so."""
        return float(np.mean(self.records["failure"] == failure))


@dataclass
class Bench:
    """How a plane is set up."""

    services: Sequence[ServiceSpec] = (service(),)
    n_instances: int = 1
    routing: RoutingPolicy = field(default_factory=lambda: Random(spill_outstanding=0))
    admission: AdmissionPolicy = field(default_factory=Always)
    cpus: int = 1
    interference_q16: int = 0
    plane: Callable[..., DataPlane] = KernelPlane

    def run(self, arrivals: Arrivals, seed: int = 0) -> Ran:
        """All of the workload, to the last answer."""
        table = ready_table(len(self.services), self.n_instances)
        plane = self.make(table, arrivals, seed)
        return finish(plane, len(arrivals))

    def latencies(self, at: Sequence[float], work: Sequence[float] | None = None) -> list[float]:
        """Latencies, in units, of requests at these times, in order of arrival."""
        t_ns = (np.array(at) * UNIT_NS).astype(np.int64)
        work_q16 = (np.array(work or [1] * len(at)) * ONE_Q16).astype(np.int64)
        records = self.run(open_arrivals(t_ns, 0, 1, work_q16)).records
        return [float(latency) for latency in records[np.argsort(records["serial"])]["latency_ns"] / UNIT_NS]

    def make(self, table: ResidencyTable, arrivals: Arrivals, seed: int = 0) -> DataPlane:
        """A plane of this kind on that table."""
        spec = PlaneSpec(tuple(self.services), self.cpus * ONE_Q16, self.interference_q16, timeout_ns=NEVER_NS // 4,
                         retry=RetrySpec(), route_seed=seed, record_requests=True)
        return self.plane(spec, table, self.routing, self.admission, ListSource(arrivals), None)


def finish(plane: DataPlane, n: int, answer: Callable[[Stopped], None] | None = None,
           next_control_ns: Callable[[], int] = lambda: NEVER_NS, control: Callable[[], None] | None = None) -> Ran:
    """Run a plane until nothing is left, with a control plane or without; check the identities."""
    counters, rows, stops = [], [], []
    while not plane.idle() or next_control_ns() < NEVER_NS:
        due_ns = next_control_ns()
        stopped = plane.advance(min(due_ns, plane.now_ns + TAKE_EVERY_NS))
        if stopped.stop is not Stop.HORIZON:
            stops.append(stopped)
            assert answer, f"nobody answers {stopped}"
            answer(stopped)
        elif control and stopped.time_ns == due_ns:
            control()
        else:
            counters.append(plane.take())
            rows.append(plane.take_records())
    counters.append(plane.take())
    rows.append(plane.take_records())
    ran = Ran(np.concatenate(rows), sum(int(c.endpoint["in_flight_ns"]) for c in counters),
              sum(int(c.endpoint["batches"]) for c in counters),
              sum(int(c.endpoint["batch_items"]) for c in counters),
              sum(int(c.instances["device_busy"].sum()) for c in counters), stops)
    _check(plane, ran, n)
    return ran


def _check(plane: DataPlane, ran: Ran, n: int) -> None:
    plane.check()
    assert plane.in_flight() == 0
    assert len(ran.records) == n, "conservation: arrivals = completions + failures"
    assert ran.in_flight_ns == ran.records["latency_ns"].sum(), "Little's law"


def agrees(oracle: float, replications: Sequence[float], tolerance: float = 0.02) -> None:
    """Fail when the oracle lies outside the 99.9 % t interval of the replications *and* outside 2 %.

    An interval wider than ±10 % would say nothing, and fails too.
    """
    mean = float(np.mean(replications))
    half = float(stats.t.ppf(0.9995, len(replications) - 1) * stats.sem(replications))
    assert half <= 0.1 * oracle, f"{mean:.6f} ± {half:.6f} is too vague: longer runs, or more of them"
    gap = abs(mean - oracle)
    assert gap <= half or gap <= tolerance * oracle, f"{mean:.6f} ± {half:.6f} against {oracle:.6f} in theory"


def replicate(experiment: Callable[[np.random.Generator, int], float | Sequence[float]], n: int = 16,
              seed: int = 1) -> NDArray[np.float64]:
    """The experiment `n` times, each with its own generator: (outcomes, n)."""
    found = [np.atleast_1d(experiment(np.random.default_rng([seed, number]), number)) for number in range(n)]
    return np.array(found).T
