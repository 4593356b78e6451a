"""What must hold at the end of every run; a violation is our bug, never the user's.

*Conservation*: invocations = completions + failures + in flight. *Little's law*, as an identity rather than in the long
run: the integral of the number in flight is the sum of the times spent there by every invocation: of the completed ones
(latency without the caller's overhead, which lies after the service end), of the failed ones, and, up to now, of those
still in flight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmesim.dataplane.counters import Reason


@dataclass(frozen=True)
class Totals:
    """A run's sums, warm-up included."""

    endpoint: NDArray[np.void]
    """0-d array of ENDPOINT_COUNTERS over the whole run."""
    sketched: int
    """Completions in the latency sketches."""
    in_flight: int
    in_flight_age_ns: int
    """Time since their issue of the invocations in flight, together."""


def little_error(totals: Totals) -> float:
    """Relative distance between the integral of the number in flight and the times spent; integers, so 0 is exact."""
    end = totals.endpoint
    integral_ns = int(end["in_flight_ns"])
    completed_ns = int(end["latency_ns"]) - int(end["reasons_ns"][Reason.OVERHEAD])
    apart_ns = abs(integral_ns - completed_ns - int(end["failed_ns"]) - totals.in_flight_age_ns)
    return apart_ns / integral_ns if integral_ns else float(apart_ns > 0)


def check(totals: Totals) -> None:
    """Raise AssertionError with both sides of what does not hold."""
    end = totals.endpoint
    issued, ended = int(end["invocations"]), int(end["completions"]) + int(end["failures"].sum())
    assert issued == ended + totals.in_flight, \
        f"{issued} invocations, but {ended} ended and {totals.in_flight} in flight"
    completions = int(end["completions"])
    assert int(end["tiers"].sum()) == completions, f"{completions} completions, but tiers {end['tiers'].tolist()}"
    assert totals.sketched == completions, f"{completions} completions, but {totals.sketched} in the latency sketches"
    assert int(end["tier_latency_ns"].sum()) == int(end["latency_ns"]), "latency by tier does not add up"
    reasons_ns, latency_ns = int(end["reasons_ns"].sum()), int(end["latency_ns"])
    assert reasons_ns == latency_ns, f"latencies are {latency_ns} ns together, their parts {reasons_ns} ns"
    error = little_error(totals)
    assert error == 0, f"Little's law is off by {error:.3g} of the number in flight"


def check_models(measured: NDArray[np.void], models: NDArray[np.void]) -> None:
    """The models' counters add up to the endpoint's over the measured time."""
    for name in ("invocations", "completions"):
        ours, theirs = int(measured[name]), int(models[name].sum())
        assert ours == theirs, f"{ours} {name} of the endpoint, {theirs} of its models together"
    failed, theirs = int(measured["failures"].sum()), int(models["failures"].sum())
    assert failed == theirs, f"{failed} failures of the endpoint, {theirs} of its models together"
