"""Policies as the data plane asks them: compiled, or in Python, and what happens when they do what they may not."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from mmesim.core.policy import AdmissionPolicy, Choice, RoutingPolicy, WrongAnswer
from mmesim.dataplane.plane import KernelPlane
from mmesim.policies.routing.random import Random
from tests.dataplane_world import MS, records, service, world


def instances(plane: KernelPlane) -> list[int]:
    return records(plane)["instance"].tolist()


def compiles(plane: KernelPlane) -> bool:
    """Uncompiled, a policy is just called, and none is slower than another."""
    return not plane._compiled


@dataclass
class Memorising(RoutingPolicy):
    """Scores as `Random` does, and keeps notes, which is nothing for numba."""

    blind: bool = False
    spill_outstanding: int = 0
    notes: list[int] = field(default_factory=list)

    def score(self, copy: Choice, now_ns: int) -> int:
        self.notes.append(copy.draw)
        return copy.draw


@pytest.mark.parametrize("blind", [False, True])
def test_a_policy_in_plain_python_decides_alike(blind: bool) -> None:
    def run(routing: RoutingPolicy) -> KernelPlane:
        return world([service(3), service(4)], [(t / 2, t % 2) for t in range(200)], instances=4, routing=routing)

    python, fast = run(Memorising(blind)), run(Random(blind, 0))
    assert python.interpreted_policy == (not compiles(python)) and not fast.interpreted_policy
    assert np.array_equal(records(python), records(fast))


@pytest.mark.parametrize("score", [0.5, "1", None, 1 << 63])
def test_a_score_that_is_no_integer_stops_the_run(score: object) -> None:
    @dataclass
    class Odd(RoutingPolicy):
        def score(self, copy, now_ns):
            return score

    plane = world([service(10)], [(0, 0)], instances=2, routing=Odd())
    with pytest.raises(WrongAnswer, match=r"Odd\.score returned .* an int of 64 bits"):
        plane.advance(MS)


@pytest.mark.parametrize("blind", [False, True])
def test_what_a_compiled_score_raises_is_raised(blind: bool) -> None:
    """Machine code cannot: the copy is asked about again in Python."""
    @dataclass
    class Divides(RoutingPolicy):
        blind: bool = False
        spill_outstanding: int = 0

        def score(self, copy, now_ns):
            return 100 // (2 - copy.instance_outstanding)

    plane = world([service(10)], [(0, 0), (1, 0), (2, 0), (3, 0)], instances=2, routing=Divides(blind))
    assert not plane.interpreted_policy
    with pytest.raises(ZeroDivisionError):
        plane.advance(5 * MS)
    assert plane.now_ns == 3 * MS


def test_what_a_compiled_admission_raises_is_raised() -> None:
    @dataclass
    class Strict(AdmissionPolicy):
        def admit(self, model_outstanding, endpoint_outstanding, ready_copies, serving_instances, now_ns):
            if now_ns > 2_000_000:
                raise ValueError("too late")
            return True

    plane = world([service(10)], [(0, 0), (3, 0)], admission=Strict())
    assert not plane.interpreted_policy
    with pytest.raises(ValueError, match="too late"):
        plane.advance(5 * MS)
    assert plane.now_ns == 3 * MS


def test_the_least_score_is_a_score() -> None:
    """-2^63 is what machine code answers when it would raise; as a score it is asked for in Python, and counts."""
    @dataclass
    class Least(RoutingPolicy):
        def score(self, copy, now_ns):
            return -9_223_372_036_854_775_808 if copy.instance == 1 else 0

    plane = world([service(10)], [(0, 0)] * 3, instances=3, routing=Least())
    assert not plane.interpreted_policy
    assert instances(plane) == [1, 1, 1]


def test_parameters_reach_the_compiled_policy() -> None:
    @dataclass
    class Scaled(RoutingPolicy):
        weight: int = 1
        offset: float = 0.5
        reverse: bool = False
        name_of_it: str = "not a number"

        def score(self, copy, now_ns):
            value = copy.instance_outstanding * self.weight + int(self.offset)
            return -value if self.reverse else value

    for reverse, expected in ((False, [0, 1, 0]), (True, [0, 0, 0])):
        plane = world([service(10)], [(0, 0)] * 3, instances=2, routing=Scaled(weight=3, reverse=reverse))
        assert not plane.interpreted_policy
        assert instances(plane) == expected


def test_a_score_that_may_not_end_is_not_compiled() -> None:
    """Nobody could stop it; as Python it can be."""
    @dataclass
    class Steps(RoutingPolicy):
        def score(self, copy, now_ns):
            left = copy.instance_outstanding
            while left > 2:
                left -= 1
            return left

    @dataclass
    class Counts(RoutingPolicy):
        def score(self, copy, now_ns):
            left = 0
            for step in range(copy.instance_outstanding):
                if step % 2:
                    continue
                left += 1
            return left

    for routing, interpreted in ((Steps(), True), (Counts(), False)):
        plane = world([service(10)], [(0, 0)] * 3, instances=2, routing=routing)
        assert plane.interpreted_policy == (interpreted and not compiles(plane))
        assert instances(plane) == [0, 1, 0]
