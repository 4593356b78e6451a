"""A small world for tests of the data plane: copies are put where a test wants them, requests are written down.

Times in tests are whole milliseconds unless a name says ``_ns``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmesim.core.choice import Choice
from mmesim.core.policy import AdmissionPolicy, RoutingPolicy
from mmesim.core.residency import ResidencyTable
from mmesim.core.types import Tier
from mmesim.dataplane.api import ONE_Q16, PlaneSpec, ServiceSpec, Stop, Stopped
from mmesim.dataplane.arrays import ROOM, Room
from mmesim.dataplane.plane import KernelPlane
from mmesim.workload.types import NEVER_NS, WORK_ONE, Arrivals

MS = 1_000_000


@dataclass
class Fewest(RoutingPolicy):
    """Fewest requests in flight on the instance."""

    blind: bool = False
    spill_outstanding: int = 0

    def score(self, copy: Choice, now_ns: int) -> int:
        return copy.instance_outstanding


class Open(AdmissionPolicy):
    """Everybody may enter."""

    always = True

    def admit(self, model_outstanding: int, endpoint_outstanding: int, ready_copies: int, serving_instances: int,
              now_ns: int) -> bool:
        raise AssertionError("never asked")


@dataclass
class Written:
    """Arrivals as written down: (time in ms, model[, items[, work]]), given in chunks of `chunk`."""

    rows: Sequence[tuple[float, ...]]
    chunk: int = 1000

    def __post_init__(self) -> None:
        full = [(*row, 1, 1.0)[:4] if len(row) == 2 else (*row, 1.0)[:4] for row in self.rows]
        self._rows = [full[at:at + self.chunk] for at in range(0, len(full), self.chunk)]

    def next_chunk(self) -> Arrivals | None:
        if not self._rows:
            return None
        t, model, items, work = zip(*self._rows.pop(0), strict=True)
        return Arrivals(np.array([round(at * MS) for at in t]), np.array(model, np.int32), np.array(items, np.int32),
                        np.array([round(part * WORK_ONE) for part in work]))


@dataclass
class Users:
    """Closed-loop users who all do the same: user u's request k is for ``model(u, k)``, then they think."""

    n_users: int
    model: Callable[[int, int], int] = lambda user, k: 0
    think_ms: float = 0
    stop_ms: float | None = None
    start_ms: Sequence[float] | None = None
    items: int = 1
    asked: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start_ns = np.array([round(t * MS) for t in self.start_ms or [0] * self.n_users])
        self.stop_ns = np.full(self.n_users, NEVER_NS if self.stop_ms is None else round(self.stop_ms * MS))

    def draws(self, user: int, block: int) -> tuple[Any, Any, Any]:
        self.asked.append((user, block))
        return (np.array([self.model(user, 64 * block + k) for k in range(64)], np.int32),
                np.full(64, round(self.think_ms * MS)), np.full(64, WORK_ONE))


def service(*batch_ms: float, **settings: Any) -> ServiceSpec:
    """A model whose batch of b takes the b-th of these times, and longer batches the last; settings in the API's units,
    or ``..._ms``."""
    table = [0, *(round(t * MS) for t in (*batch_ms, batch_ms[-1]))]
    for name in [name for name in settings if name.endswith("_ms")]:
        settings[name[:-2] + "ns"] = round(settings.pop(name) * MS)
    return ServiceSpec(np.array(table), **settings)


def residency(models: int, instances: int, ready: Sequence[tuple[int, int]] | None = None) -> ResidencyTable:
    """A table with all instances in service and READY copies at (instance, model); None: everywhere."""
    table = ResidencyTable(models, instances)
    for instance in range(instances):
        table.set_serving(instance, True)
    for instance, model in ready if ready is not None else np.ndindex(instances, models):
        make_ready(table, instance, model)
    return table


def make_ready(table: ResidencyTable, instance: int, model: int) -> None:
    """Bring a copy through its lifecycle to READY, at no time."""
    for cause in ("start download", "download finished", "start load", "load finished"):
        table.advance(instance, model, cause)


def cold_start(table: ResidencyTable, instance: int, model: int, now_ms: float, tier: Tier = Tier.S3) -> None:
    """A cold start begins."""
    row = table.row(instance, model)
    table.copies["tier"][row] = tier
    table.copies["requested_ns"][row] = round(now_ms * MS)
    table.copies["uses"][row] = 0
    table.cold_started(instance, model)


def loaded(table: ResidencyTable, instance: int, model: int, **marks_ms: float) -> None:
    """The cold start ends with a READY copy; marks by the names of the table, without ``_ns``."""
    for name, at in marks_ms.items():
        table.copies[f"{name}_ns"][table.row(instance, model)] = round(at * MS)
    make_ready(table, instance, model)
    table.cold_ended(instance, model)


def world(services: Sequence[ServiceSpec], arrivals: Sequence[tuple[float, ...]] = (), *, instances: int = 1,
          ready: Sequence[tuple[int, int]] | None = None, routing: RoutingPolicy | None = None,
          admission: AdmissionPolicy | None = None, clients: Users | None = None, room: Room = ROOM, chunk: int = 1000,
          vcpus: float = 4, timeout_ms: float = 60_000, **spec: Any) -> KernelPlane:
    """A plane over a table of its own, with request records."""
    plane_spec = PlaneSpec(tuple(services), int(vcpus * ONE_Q16), timeout_ns=round(timeout_ms * MS),
                           record_requests=True, **spec)
    return KernelPlane(plane_spec, residency(len(services), instances, ready), routing or Fewest(),
                       admission or Open(), Written(arrivals, chunk), clients, room)


def stops(plane: KernelPlane, until_ms: float = 10_000) -> list[Stopped]:
    """Run to a time and tell the stops on the way; not for stops that want an act."""
    found = []
    while (stopped := plane.advance(round(until_ms * MS))).stop != Stop.HORIZON:
        found.append(stopped)
    return found


def ends(plane: KernelPlane, until_ms: float = 10_000) -> list[float]:
    """Run, and give the times in ms at which the invocations ended for their callers, in order of issue."""
    rows = records(plane, until_ms)
    return ((rows["issued_ns"] + rows["latency_ns"]) / MS).tolist()


def latencies(plane: KernelPlane, until_ms: float = 10_000) -> list[float]:
    """Run, and give the latencies in ms in order of issue."""
    return (records(plane, until_ms)["latency_ns"] / MS).tolist()


def records(plane: KernelPlane, until_ms: float = 10_000) -> Any:
    """Run without stops, check, and give the records in order of issue."""
    assert stops(plane, until_ms) == []
    plane.check()
    rows = plane.take_records()
    return rows[np.argsort(rows["serial"])]
