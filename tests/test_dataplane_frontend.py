"""The front end that receives and decodes requests before the host stage, by cases worked by hand."""

from __future__ import annotations

import pytest

from mmesim.core.types import Failure
from mmesim.dataplane.api import ONE_Q16
from mmesim.dataplane.counters import Reason
from tests.dataplane_world import MS, cold_start, ends, loaded, records, service, stops, world


@pytest.mark.parametrize("threads, expected", [(1, [3, 6, 9, 12, 15]), (2, [3, 3, 6, 6, 9]), (5, [3] * 5)])
def test_requests_that_come_together_are_decoded_one_after_another(threads: int, expected: list[float]) -> None:
    """Five at once, 3 ms each; afterwards nobody waits for anybody."""
    spec = service(10, share_q16=0, instance_count=5, frontend_ms=3)
    rows = records(world([spec], [(0, 0)] * 5, frontend_threads=threads))
    assert (rows["reasons_ns"][:, Reason.FRONTEND] / MS).tolist() == expected
    assert (rows["latency_ns"] / MS).tolist() == [10 + at for at in expected]
    assert (rows["reasons_ns"].sum(axis=1) == rows["latency_ns"]).all()


def test_the_line_is_served_in_order_of_sending_whatever_the_model() -> None:
    """Two threads, 2 + items ms: 0 and 1 begin at once and end at 3 and 7, 2 follows 0 (until 6), 3 follows 2."""
    spec = service(10, share_q16=0, instance_count=9, max_batch=5, frontend_ms=2, frontend_per_item_ms=1)
    plane = world([spec] * 2, [(0, 0, 1), (0, 1, 5), (1, 0, 1), (2, 1, 1)], frontend_threads=2)
    assert ends(plane) == [13, 17, 16, 19]


def test_who_asks_for_nothing_waits_for_nobody() -> None:
    plane = world([service(10, share_q16=0, frontend_ms=50), service(10, share_q16=0)], [(0, 0), (1, 1)])
    assert ends(plane) == [60, 11]


def test_each_instance_has_its_own() -> None:
    assert ends(world([service(10, frontend_ms=5)], [(0, 0)] * 4, instances=2)) == [15, 15, 25, 25]


def test_the_host_stage_follows_and_speeds_do_not_matter() -> None:
    """5 ms at the front end whatever the speed; then 8 ms of work at half of it; then 10 ms at full."""
    plane = world([service(10, cpu_ms=8, frontend_ms=5)], [(0, 0)])
    plane.set_speed(0, ONE_Q16, ONE_Q16 // 2)
    rows = records(plane)
    spent = rows["reasons_ns"][0] / MS
    assert [spent[Reason.FRONTEND], spent[Reason.HOST_CPU], spent[Reason.COMPUTE]] == [5, 16, 10]


def test_what_was_held_is_decoded_after_its_release() -> None:
    """Held from 0 and 12 until 21, then decoded one by one behind the other model's request of 20 (until 24)."""
    spec = service(5, share_q16=0, instance_count=2, frontend_ms=4)
    plane = world([spec, spec], [(0, 0), (12, 0), (20, 1)], ready=[(0, 1)])
    plane.advance(100 * MS)
    cold_start(plane.table, 0, 0, 0)
    stops(plane, 21)
    loaded(plane.table, 0, 0, ready_since=21)
    plane.release(0, 0)
    rows = records(plane)
    assert ((rows["issued_ns"] + rows["latency_ns"]) / MS).tolist() == [33, 37, 29]
    assert (rows["reasons_ns"][:, Reason.FRONTEND] / MS).tolist() == [7, 11, 4]


def test_an_abandoned_invocation_is_decoded_all_the_same() -> None:
    """Time for 15: the second is given up at 16 in the front end, keeps its thread until 20, and is served unseen."""
    plane = world([service(1, frontend_ms=10)], [(0, 0), (1, 0), (16, 0)], timeout_ms=15)
    stops(plane, 18)
    assert plane.in_flight() == 1 and plane.table.copies["outstanding"][0] == 2
    rows = records(plane)
    assert rows["failure"].tolist() == [0, Failure.TIMEOUT, 0]
    assert (rows["latency_ns"] / MS).tolist() == [11, 15, 15]


def test_a_lost_instance_loses_its_line_and_another_keeps_its_own() -> None:
    """Two instances, two each; one dies at 5 ms, comes back, and its thread is free for the request of 8."""
    plane = world([service(1, frontend_ms=10)], [(0, 0)] * 4 + [(8, 0)], instances=2)
    stops(plane, 5)
    plane.fail_instance(0, Failure.INSTANCE_LOST)
    plane.check()
    rows = records(plane)
    assert rows["failure"].tolist() == [Failure.INSTANCE_LOST, 0, Failure.INSTANCE_LOST, 0, 0]
    assert ((rows["issued_ns"] + rows["latency_ns"]) / MS).tolist() == [5, 11, 5, 21, 19]


def test_a_request_decoded_at_its_deadline_is_still_given_up() -> None:
    """The front end comes before the deadline at one instant; the batch it joins ends after it."""
    rows = records(world([service(5, frontend_ms=10)], [(0, 0)], timeout_ms=10))
    assert rows["failure"].tolist() == [Failure.TIMEOUT]
    assert rows["batch_items"].tolist() == [1]
