"""Processor sharing, the host stage and host work, by cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mmesim.dataplane.api import ONE_Q16, Stop
from mmesim.dataplane.arrays import Room
from mmesim.dataplane.counters import Reason
from tests.dataplane_world import MS, ends, records, service, stops, world


def test_two_jobs_of_size_one() -> None:
    """Size 1 at 0 and size 1 at 0.5 on one lane: the first leaves at 1.5, the second at 2."""
    assert ends(world([service(1000), service(1000)], [(0, 0), (500, 1)])) == [1500, 2000]


def test_three_jobs() -> None:
    """Sizes 1, 2, 3 at 0: they leave at 3, 5, 6 (a speed of a third is cut to 21845/65536)."""
    specs = [service(1000), service(2000), service(3000)]
    assert ends(world(specs, [(0, 0), (0, 1), (0, 2)])) == pytest.approx([3000, 5000, 6000], rel=2e-5)


def test_shares_that_fit_do_not_slow_down() -> None:
    """Two of 0.5 run at full speed; a third makes 1.5 and two thirds of the speed."""
    half = service(300, share_q16=ONE_Q16 // 2)
    assert ends(world([half, half], [(0, 0), (0, 1)])) == [300, 300]
    three = ends(world([half, half, half], [(0, 0), (0, 1), (0, 2)]))
    assert three == pytest.approx([450] * 3, rel=1e-4)


def test_interference_slows_down_even_what_fits() -> None:
    """A quarter for each further job: two run at 1/1.25."""
    half = service(300, share_q16=ONE_Q16 // 2)
    plane = world([half, half], [(0, 0), (0, 1)], interference_q16=ONE_Q16 // 4)
    rows = records(plane)
    assert ((rows["latency_ns"]) / MS).tolist() == pytest.approx([375, 375], rel=1e-4)
    assert (rows["reasons_ns"][:, Reason.CONTENTION] / MS).tolist() == pytest.approx([75, 75], rel=1e-3)


def test_host_stage_shares_the_vcpus() -> None:
    """Three requests of 20 + 10·2 ms each want one of 2 vCPUs: 40 ms of work at 2/3 of the speed."""
    spec = service(10, cpu_ms=20, cpu_per_item_ms=10, max_batch=8)
    rows = records(world([spec], [(0, 0, 2)] * 3, vcpus=2))
    assert (rows["reasons_ns"][:, Reason.HOST_CPU] / MS).tolist() == pytest.approx([60] * 3, rel=1e-4)


def test_batches_on_the_host() -> None:
    """A model on two of four vCPUs: two run at full speed, three at two thirds; the device stays idle."""
    spec = service(300, share_q16=2 * ONE_Q16, on_cpu=True)
    plane = world([spec] * 3, [(0, 0), (0, 1), (0, 2)])
    assert ends(plane) == pytest.approx([450] * 3, rel=1e-4)
    busy = plane.take().instances
    assert busy["device_busy"][0] == 0
    assert busy["cpu_busy"][0] == pytest.approx(4 * ONE_Q16 * 450 * MS, rel=1e-4)


def test_speed_can_change_in_mid_flight() -> None:
    """500 ms at full speed, then half: 500 more take 1000; back to full for the next."""
    plane = world([service(1000)], [(0, 0), (2000, 0)])
    assert stops(plane, 500) == []
    plane.set_speed(0, ONE_Q16 // 2, ONE_Q16)
    assert stops(plane, 1800) == []
    plane.set_speed(0, ONE_Q16, ONE_Q16)
    assert ends(plane) == [1500, 3000]


def test_host_work_shares_with_requests_and_tells_its_end() -> None:
    """One vCPU: work of 100 ms and a request of 100 ms take 200 together; then work alone."""
    plane = world([service(10, cpu_ms=100)], [(0, 0)], vcpus=1)
    assert plane.start_work(0, 100 * MS) == 0
    assert [(s.stop, s.time_ns, s.instance, s.token) for s in stops(plane)] == [(Stop.WORK_DONE, 200 * MS, 0, 0)]
    assert plane.start_work(0, 50 * MS) == 1
    assert [(s.stop, s.time_ns, s.token) for s in stops(plane, 20_000)] == [(Stop.WORK_DONE, 10_050 * MS, 1)]
    assert plane.idle()


def test_work_that_ends_together_is_told_one_by_one_in_order() -> None:
    plane = world([service(10)])
    for demand in (20, 10, 20):
        plane.start_work(0, demand * MS)
    assert [(s.time_ns // MS, s.token) for s in stops(plane)] == [(10, 1), (20, 0), (20, 2)]


def test_integrals() -> None:
    """Share 0.5 for 300 ms, twice at a time for 100 of them."""
    half = service(200, share_q16=ONE_Q16 // 2)
    plane = world([half, half], [(0, 0), (100, 1)])
    stops(plane, 1000)
    took = plane.take()
    assert took.instances["device_busy"][0] == ONE_Q16 * (100 // 2 + 100 + 100 // 2) * MS
    assert took.instances["device_jobs_ns"][0] == took.endpoint["in_flight_ns"] == 400 * MS
    assert (took.since_ns, took.until_ns) == (0, 1000 * MS)


def test_integrals_may_be_taken_at_any_time() -> None:
    half = service(200, share_q16=ONE_Q16 // 2)
    plane = world([half, half], [(0, 0), (100, 1)])
    busy = 0
    for until in (50, 130, 170, 1000):
        stops(plane, until)
        busy += plane.take().instances["device_busy"][0]
    assert busy == ONE_Q16 * 200 * MS


def test_a_station_that_never_falls_idle_is_rebased() -> None:
    """With a low limit virtual time is set back all the time, and nobody sees it."""
    arrivals = [(t * 0.7, t % 3) for t in range(400)]
    specs = [service(1.9, share_q16=40_000), service(1.1, share_q16=30_000), service(0.3, cpu_ms=0.5)]
    often, never = (ends(world(specs, arrivals, room=Room(rebase_q16=limit))) for limit in (1, 1 << 60))
    assert often == never
    assert len(often) == 400 and np.all(np.array(often) > 0)


HALF = ONE_Q16 // 2


def test_a_larger_batch_may_want_more_of_the_device() -> None:
    """One item wants half, two want all. A single beside a pair: 2/3 of the speed until 150, then the pair alone."""
    spec = service(100, 200, max_batch=2, share_q16=np.array([0, HALF, ONE_Q16]))
    assert ends(world([spec, spec], [(0, 0, 1), (0, 1, 1)])) == [100, 100]
    plane = world([spec, spec], [(0, 0, 1), (0, 1, 2)])
    assert ends(plane) == pytest.approx([150, 250], rel=1e-4)
    assert plane.take().instances["device_busy"][0] == pytest.approx(ONE_Q16 * 250 * MS, rel=1e-4)


def test_above_the_table_a_batch_wants_the_last_share() -> None:
    """Five items want no more than three: half; and a table shorter than that of the times says as much."""
    for table in ([0, ONE_Q16, ONE_Q16, HALF], [0, HALF]):
        spec = service(100, 100, 100, max_batch=5, share_q16=np.array(table))
        assert ends(world([spec, spec], [(0, 0, 5), (0, 1, 5)])) == [100, 100]


def test_a_constant_share_is_a_table_of_equals() -> None:
    arrivals = [(t * 0.9, t % 2, 1 + t % 3) for t in range(200)]
    specs = [service(2, 3, 4, max_batch=3, instance_count=2, share_q16=share)
             for share in (40_000, np.array([0, 40_000, 40_000, 40_000]))]
    assert ends(world(specs[:1] * 2, arrivals)) == ends(world(specs, arrivals))
