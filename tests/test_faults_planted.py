"""The test of the agreement test: each planted fault is noticed within the scenarios that CI compares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from reference import faults, faults_batching
from reference.cases import FLAVOURS, Case
from reference.driver import first_difference, run_case
from reference.fuzz import sample
from reference.plane import ReferencePlane
from reference.plant import planted

from mmesim.dataplane.plane import KernelPlane

FAULTS = faults.FAULTS | faults_batching.FAULTS


@pytest.fixture(scope="module")
def scenarios() -> list[Case]:
    """All flavours in turn: the first of each, the second of each, …"""
    return [case for turn in zip(*(sample(flavour) for flavour in FLAVOURS), strict=True) for case in turn]


@pytest.fixture(scope="module")
def kernel_protocol() -> Callable[[int, Case], list[Any]]:
    """What the kernel does in a scenario; each is run once."""
    known: dict[int, list[Any]] = {}

    def protocol(number: int, case: Case) -> list[Any]:
        if number not in known:
            known[number] = run_case(KernelPlane, case)
        return known[number]

    return protocol


def noticed(case: Case, expected: list[Any]) -> bool:
    """True when the faulty reference crashes or differs."""
    try:
        return first_difference(run_case(ReferencePlane, case), expected) is not None
    except (AssertionError, ArithmeticError, LookupError, ValueError):
        return True


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_noticed(name: str, scenarios: list[Case],
                          kernel_protocol: Callable[[int, Case], list[Any]]) -> None:
    with planted(FAULTS[name]):
        caught = next((n for n, case in enumerate(scenarios) if noticed(case, kernel_protocol(n, case))), None)
    assert caught is not None, f"{len(scenarios)} scenarios do not notice: {name}"
    print(f"noticed by scenario {caught + 1} of {len(scenarios)}")
