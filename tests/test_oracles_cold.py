"""Loads on demand against theory, with the least control plane that can do it.

*Set-up queue* (Welch, Operations Research 1964): the copy is unloaded the moment it is idle, so the first request of
each busy period waits for a load D. *Coalesced load with TTL*: Poisson requests, one load for all that wait, unloaded
after a time-to-live without use; with n = L·D + exp(L·tau) requests a cycle, loads per request are 1/n and the mean
wait is (D + L·D²/2)/n.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import numpy as np
import pytest
from reference.lab import (
    UNIT_NS,
    Bench,
    Law,
    Ran,
    agrees,
    deterministic,
    exponential,
    finish,
    poisson,
    replicate,
    service,
)

from mmesim.core.residency import ResidencyTable
from mmesim.core.types import Tier
from mmesim.dataplane.api import DataPlane, Stop, Stopped
from mmesim.dataplane.counters import Reason
from mmesim.workload.types import NEVER_NS, Arrivals

N = 12_000


@dataclass
class OneCopy:
    """Loads the one copy when it is missed and unloads it when it was idle for `keep_ns` after its last use."""

    table: ResidencyTable
    plane: DataPlane
    load_ns: list[int]
    """Of each load in turn; the last stays."""
    keep_ns: int
    loads: int = 0
    due_ns: int = NEVER_NS

    def answer(self, stopped: Stopped) -> None:
        """A miss starts the load; an idle copy leaves at once (keep_ns = 0)."""
        if stopped.stop is Stop.IDLE:
            self._unload()
            return
        assert stopped.stop is Stop.MISS
        copy, now_ns = self.table.copies, self.plane.now_ns
        copy["requested_ns"] = copy["downloaded_ns"] = copy["extracted_ns"] = copy["load_started_ns"] = now_ns
        copy["tier"] = Tier.DISK
        self.table.cold_started(0, 0)
        self.table.advance(0, 0, "start load")
        self.due_ns = now_ns + self.load_ns[min(self.loads, len(self.load_ns) - 1)]
        self.loads += 1

    def act(self) -> None:
        """The load is done, or the time-to-live may be over."""
        if self.table.copies["cold"][0]:
            self.table.advance(0, 0, "load finished")
            self.table.copies["ready_since_ns"] = self.plane.now_ns
            self.table.cold_ended(0, 0)
            self.table.copies["watch"] = self.keep_ns == 0
            self.plane.release(0, 0)
            self.due_ns = self.plane.now_ns + self.keep_ns if self.keep_ns else NEVER_NS
        elif self.table.copies["outstanding"][0] == 0 and self._kept_until_ns() <= self.plane.now_ns:
            self._unload()
        else:
            self.due_ns = max(self._kept_until_ns(), self.plane.now_ns + 1)

    def _kept_until_ns(self) -> int:
        copy = self.table.copies
        return int(max(copy["last_use_ns"][0], copy["ready_since_ns"][0])) + self.keep_ns

    def _unload(self) -> None:
        self.table.copies["watch"] = 0
        self.table.advance(0, 0, "start unload")
        self.table.advance(0, 0, "unload finished")
        self.due_ns = NEVER_NS


def run_one_copy(arrivals: Arrivals, service_mean: float, load: list[float], keep: float) -> tuple[Ran, int]:
    """The run and the number of loads; times in units."""
    table = ResidencyTable(1, 1)
    table.set_serving(0, True)
    for cause in ("start download", "download finished"):
        table.advance(0, 0, cause)
    plane = Bench([service(service_mean)]).make(table, arrivals)
    copy = OneCopy(table, plane, [round(one * UNIT_NS) for one in load], round(keep * UNIT_NS))
    return finish(plane, len(arrivals), copy.answer, lambda: copy.due_ns, copy.act), copy.loads


@pytest.mark.parametrize(("rate", "mean", "law", "load", "load_law", "wait"), [
    (0.5, 1, exponential, 10, deterministic, 6.833333), (0.05, 1, deterministic, 20, deterministic, 15.026316),
    (0.01, 0.2, deterministic, 30, deterministic, 26.538662), (0.5, 1, exponential, 10, exponential, 11.0)])
def test_set_up_queue(rate: float, mean: float, law: Law, load: float, load_law: Law, wait: float) -> None:
    second = mean ** 2 * (2 if law is exponential else 1)
    load_second = load ** 2 * (2 if load_law is exponential else 1)
    queueing = rate * second / (2 * (1 - rate * mean))
    oracle = queueing + (2 * load + rate * load_second) / (2 * (1 + rate * load))
    assert oracle == pytest.approx(wait, abs=1e-6)

    def experiment(rng: np.random.Generator, seed: int) -> list[float]:
        loads = (load * load_law(rng, N)).tolist()
        ran, count = run_one_copy(poisson(rng, rate, N, law), mean, loads, 0.0)
        waited = ran.sojourn - ran.ok["reasons_ns"][:, Reason.COMPUTE] / UNIT_NS
        return [waited.mean(), count / N]

    waits, loads = replicate(experiment)
    agrees(oracle, waits)
    agrees((1 - rate * mean) / (1 + rate * load), loads)


@pytest.mark.parametrize(("rate", "load", "keep"), [(1 / 600, 30, 600), (1 / 60, 30, 120), (0.2, 10, 5), (1, 20, 2)])
def test_coalesced_loads_with_time_to_live(rate: float, load: float, keep: float) -> None:
    per_cycle = rate * load + exp(rate * keep)

    def experiment(rng: np.random.Generator, seed: int) -> list[float]:
        ran, count = run_one_copy(poisson(rng, rate, N), 1e-6, [load], keep)
        loading = ran.ok["reasons_ns"][:, Reason.LOAD].mean() / UNIT_NS
        return [count / N, ran.sojourn.mean(), loading, count * load / (ran.until_ns / UNIT_NS)]

    loads, waits, load_waits, loading = replicate(experiment)
    agrees(1 / per_cycle, loads)
    agrees((load + rate * load ** 2 / 2) / per_cycle, waits)
    agrees((load + rate * load ** 2 / 2) / per_cycle, load_waits)
    agrees(rate * load / per_cycle, loading)
