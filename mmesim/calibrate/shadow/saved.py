"""What other policies would have saved: the journal's requests simulated under both sets, and how true that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mmesim.calibrate.shadow.fit import Fitted, fit
from mmesim.calibrate.shadow.observed import Observed
from mmesim.calibrate.shadow.world import simulated_world
from mmesim.errors import InputError, Problem
from mmesim.live.setup import Setup
from mmesim.scenario.build import Build


@dataclass(frozen=True)
class Figure:
    """One number: as recorded, and simulated with the live policies and with the second ones."""

    name: str
    unit: str
    recorded: float | None
    live: float | None
    second: float | None

    @property
    def fidelity(self) -> float | None:
        """Simulated with the live policies against recorded: percentage points of a %, else a share."""
        return _apart(self.unit, self.recorded, self.live)

    @property
    def change(self) -> float | None:
        """Second policies against live ones, both simulated."""
        return _apart(self.unit, self.live, self.second)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**asdict(self), "fidelity": self.fidelity, "change": self.change}


def _apart(unit: str, before: float | None, after: float | None) -> float | None:
    if before is None or after is None:
        return None
    if unit == "%":
        return after - before
    return (after - before) / before if before else (0.0 if not after else None)


@dataclass(frozen=True)
class Saved:
    """The comparison."""

    figures: list[Figure]
    fitted: Fitted
    notes: list[str]


def saved(seen: Observed, second: Setup, run: Callable[[Build], Mapping[str, Any]]) -> Saved:
    """`run` simulates a build and gives its summary. Raises InputError when the journal holds no request or server."""
    if not seen.arrival_ns or seen.first_joined_ns < 0:
        raise InputError(Problem("the journal holds no request yet, or no server that came into service",
                                 hint="send requests to the endpoint first"))
    fitted = fit(seen)
    with simulated_world(seen, fitted) as build:
        live, other = run(build(seen.setup, "live-policies")), run(build(second, "second-policies"))
    return Saved(_figures(_recorded(seen), _simulated(live), _simulated(other)), fitted, _notes(seen))


WAITING = "requests come when they came; clients that wait for answers would have sent sooner after faster ones"
UNITS = {"requests": "", "hit ratio": "%", "loads": "", "evictions": "", "downloads": "", "failed": "",
         "load wait, mean": "ms", "latency, mean": "ms", "latency, p50": "ms", "latency, p90": "ms",
         "latency, p99": "ms"}
"""What is compared."""


def _figures(*columns: Mapping[str, float | None]) -> list[Figure]:
    return [Figure(name, unit, *(column[name] for column in columns)) for name, unit in UNITS.items()]


def _recorded(seen: Observed) -> dict[str, float | None]:
    counts, latency = seen.counts, np.frombuffer(seen.latency_ns, np.int64) / 1e6
    wait = np.frombuffer(seen.wait_ns, np.int64) / 1e6
    p50, p90, p99 = np.percentile(latency, (50, 90, 99)).tolist() if len(latency) else (None, None, None)
    return {"requests": counts["requests"],
            "hit ratio": 100 * counts["hits"] / counts["lookups"] if counts["lookups"] else None,
            "loads": counts["loads"], "evictions": counts["evictions"], "downloads": counts["downloads"],
            "failed": counts["failed"], "load wait, mean": float(wait.mean()) if len(wait) else None,
            "latency, mean": float(latency.mean()) if len(latency) else None,
            "latency, p50": p50, "latency, p90": p90, "latency, p99": p99}


def _simulated(summary: Mapping[str, Any]) -> dict[str, float | None]:
    requests, cache, residency = summary["requests"], summary["cache"], summary["residency"]
    latency = summary["latency"]["all"]
    return {"requests": requests["invocations"],
            "hit ratio": None if cache["hit_ratio"] is None else 100 * cache["hit_ratio"],
            "loads": residency["loads"], "evictions": residency["evictions"], "downloads": residency["downloads"],
            "failed": requests["failed"], "load wait, mean": cache["loading_wait_mean_ms"],
            "latency, mean": latency["mean"], "latency, p50": latency["p50"], "latency, p90": latency["p90"],
            "latency, p99": latency["p99"]}


def _notes(seen: Observed) -> list[str]:
    """Why the simulation may differ from the endpoint."""
    found, told = seen.counts["found"], [WAITING]
    if found:
        told.append(f"{found} copies or files were found on servers; the simulated ones begin empty")
    if seen.losses:
        told.append(f"{len(seen.losses)} servers were lost; requests that were sent again count twice as recorded")
    return told
