"""The compiled data plane and the reference agree bit for bit on random small scenarios.

Both are driven by one scripted control plane. Compared are every stop with the whole residency table at it, all
counters, sketches, records and totals. ``tests/test_faults_planted.py`` proves that the comparison can fail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from reference.cases import FLAVOURS, Case
from reference.driver import first_difference, run_case
from reference.fuzz import EXAMPLES, for_each_case, sample
from reference.plane import ReferencePlane

from mmesim.core.types import Failure, Tier
from mmesim.dataplane.api import Stop, Stopped
from mmesim.dataplane.counters import Reason
from mmesim.dataplane.plane import KernelPlane, Room

TINY = Room(slots=1, jobs=1, records=3, rebase_q16=1 << 38)
"""Everything has to grow, and virtual time is set back after 4 ms."""
SIMULATED = [failure for failure in Failure if failure not in (Failure.NONE, Failure.MODEL_ERROR)]
"""A model's own errors are of real models only."""


def kernel(case: Case) -> Callable[..., KernelPlane]:
    """The kernel, with tiny arrays in every second case."""
    return partial(KernelPlane, room=TINY) if case.seed & 1 else KernelPlane


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_kernel_and_reference_agree(flavour: str) -> None:
    def check(case: Case) -> None:
        difference = first_difference(run_case(ReferencePlane, case), run_case(kernel(case), case))
        assert difference is None, f"reference | kernel: {difference}"

    for_each_case(flavour, check)


@pytest.mark.skipif(EXAMPLES < 100, reason="so few scenarios need not reach everything")
def test_the_scenarios_reach_everything() -> None:
    """Every stop, failure, tier and reason occurs, and not only once; else agreement about it says nothing."""
    seen: Counter[Any] = Counter()
    for flavour in FLAVOURS:
        for case in sample(flavour):
            _count(run_case(ReferencePlane, case), seen)
    wanted = [*Stop, *Tier, *Reason, *SIMULATED, "retry", "user", "batch of many"]
    assert {repr(what): seen[repr(what)] for what in wanted if seen[repr(what)] < 20} == {}


def _count(log: list[Any], seen: Counter[Any]) -> None:
    """Count what a protocol shows."""
    for entry in log:
        if isinstance(entry, tuple) and isinstance(entry[0], Stopped):
            seen[repr(entry[0].stop)] += 1
        elif isinstance(entry, list) and entry and isinstance(entry[0], dict) and "serial" in entry[0]:
            for record in entry:
                _count_record(record, seen)


def _count_record(record: dict[str, Any], seen: Counter[Any]) -> None:
    if record["failure"]:
        seen[repr(Failure(record["failure"]))] += 1
    else:
        seen[repr(Tier(record["tier"]))] += 1
        seen.update(repr(reason) for reason in Reason if record["reasons_ns"][reason])
    seen[repr("retry")] += record["attempt"] > 1
    seen[repr("user")] += record["user"] >= 0
    seen[repr("batch of many")] += record["batch_items"] > record["items"]
