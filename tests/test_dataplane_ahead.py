"""Batches that are formed while all execution instances run, by cases worked by hand."""

from __future__ import annotations

import pytest

from mmesim.core.types import Failure
from mmesim.dataplane.counters import Reason
from tests.dataplane_world import MS, Users, records, service, stops, world


@pytest.mark.parametrize("users, expected, per_batch", [(6, [10, 10, 20, 20, 30, 30], 1),
                                                        (8, [10, 10, 20, 20, 30, 30, 40, 40], 9 / 8)])
def test_closed_loop(users: int, expected: list[float], per_batch: float) -> None:
    """Two run and four wait, one item each: six users never meet. Of eight, two find all four formed and go together,
    and stay together: of each eight batches one is theirs."""
    spec = service(10, max_batch=8, instance_count=2, share_q16=0, prefetched_batches=4)
    plane = world([spec], clients=Users(users))
    rows = records(plane)
    assert (rows["latency_ns"][:users] / MS).tolist() == expected
    assert rows["batch_items"][:users].tolist() == [1, 1, 1, 1, 1, 1, 2, 2][:users]
    counters = plane.take().endpoint
    assert counters["batch_items"] / counters["batches"] == pytest.approx(per_batch, rel=1e-3)


def test_without_them_those_who_wait_go_together() -> None:
    plane = world([service(10, max_batch=8, instance_count=2, share_q16=0)], clients=Users(8))
    assert records(plane)["batch_items"][:8].tolist() == [1, 1, 6, 6, 6, 6, 6, 6]


def test_the_delay_holds_for_formed_batches_too() -> None:
    """One instance, one batch ahead, 5 ms for company. The pair of 6 and 8 is formed at 11 and runs from 15; 12 must
    wait until then to be formed, and does not join them."""
    spec = service(10, max_batch=4, max_queue_delay_ms=5, prefetched_batches=1)
    rows = records(world([spec], [(t, 0) for t in (0, 6, 8, 12, 18)]))
    assert (rows["latency_ns"] / MS).tolist() == [15, 19, 17, 23, 27]
    assert rows["batch_items"].tolist() == [1, 2, 2, 1, 1]
    assert (rows["reasons_ns"][:, Reason.QUEUE] / MS).tolist() == [0, 9, 7, 13, 17]
    assert (rows["reasons_ns"][:, Reason.BATCH_WAIT] / MS).tolist() == [5, 0, 0, 0, 0]


def test_formed_batches_are_out_of_the_queue() -> None:
    """The second is formed: it leaves its place to the third, and outlives the queue's timeout."""
    rows = records(world([service(10, max_queue=1, queue_timeout_ms=5, prefetched_batches=1)],
                         [(t, 0) for t in range(4)]))
    assert rows["failure"].tolist() == [0, 0, Failure.QUEUE_FULL, Failure.QUEUE_FULL]
    assert (rows["latency_ns"] / MS).tolist() == [10, 19, 8, 0]


def test_batches_count_when_they_are_launched_and_the_first_of_them_is_the_slow_one() -> None:
    plane = world([service(10, first_inference_ms=100, prefetched_batches=2)], [(0, 0)] * 3)
    stops(plane, 50)
    assert plane.take().endpoint["batches"] == 1
    assert (records(plane)["latency_ns"] / MS).tolist() == [110, 120, 130]


def test_an_abandoned_invocation_in_a_formed_batch_keeps_its_place() -> None:
    rows = records(world([service(10, prefetched_batches=2)], [(0, 0), (1, 0), (9, 0)], timeout_ms=15))
    assert rows["failure"].tolist() == [0, Failure.TIMEOUT, Failure.TIMEOUT]
    plane = world([service(10, prefetched_batches=2)], [(0, 0), (1, 0), (16, 0)], timeout_ms=15)
    assert (records(plane)["latency_ns"] / MS).tolist() == [10, 15, 14]


def test_a_lost_instance_loses_its_formed_batches() -> None:
    plane = world([service(10, prefetched_batches=2)], [(0, 0)] * 4 + [(50, 0)])
    stops(plane, 5)
    plane.fail_instance(0, Failure.INSTANCE_LOST)
    plane.check()
    rows = records(plane)
    assert rows["failure"].tolist() == [Failure.INSTANCE_LOST] * 4 + [0]
    assert rows["latency_ns"][4] == 10 * MS
