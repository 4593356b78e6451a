"""The dynamic batcher, by cases worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmesim.core.types import Failure
from mmesim.dataplane.api import ServiceSpec
from mmesim.dataplane.counters import Reason
from tests.dataplane_world import MS, latencies, records, service, world

SIX = [(t, 0) for t in range(6)]


@pytest.mark.parametrize("settings, expected", [
    ({}, [10, 19, 18, 17, 16, 25]),
    ({"max_queue_delay_ms": 5}, [13, 12, 11, 10, 19, 18]),
    ({"max_queue_delay_ms": 5, "preferred": (2,)}, [11, 10, 19, 18, 27, 26]),
    ({"instance_count": 2, "share_q16": 0}, [10, 10, 18, 17, 16, 15]),
], ids=["no delay", "delay", "preferred", "two instances"])
def test_six_requests(settings: dict, expected: list[float]) -> None:
    assert latencies(world([service(10, max_batch=4, **settings)], SIX)) == expected


def test_batches_of_the_two_instances() -> None:
    plane = world([service(10, max_batch=4, instance_count=2, share_q16=0)], SIX)
    assert records(plane)["batch_items"].tolist() == [1, 1, 4, 4, 4, 4]
    counters = plane.take().endpoint
    assert (counters["batches"], counters["batch_items"]) == (3, 6)


def test_items_count_towards_the_batch() -> None:
    """2 + 3 do not fit into 4: the walk stops, the batch is full. 3 + 1 fill one."""
    plane = world([service(10, max_batch=4, max_queue_delay_ms=50)], [(0, 0, 2), (1, 0, 3), (2, 0, 1)])
    assert records(plane)["batch_items"].tolist() == [2, 4, 4]


def test_a_head_above_max_batch_goes_alone_and_at_once() -> None:
    plane = world([service(10, max_batch=4, max_queue_delay_ms=50)], [(0, 0, 7), (1, 0, 1)])
    rows = records(plane)
    assert rows["batch_items"].tolist() == [7, 1]
    assert (rows["latency_ns"] / MS).tolist() == [10, 60]


def test_the_largest_preferred_size_wins() -> None:
    plane = world([service(10, max_batch=8, preferred=(2, 4), max_queue_delay_ms=50)],
                  [(0, 0), (0, 0), *[(1, 0)] * 5])
    assert records(plane)["batch_items"].tolist() == [2, 2, 4, 4, 4, 4, 1]


def test_above_the_table_each_item_costs_the_last_step() -> None:
    spec = ServiceSpec(np.array([0, 10 * MS, 12 * MS]), max_batch=8)
    assert latencies(world([spec], [(0, 0, 5)])) == [18]
    alone = replace(spec, service_ns=np.array([0, 10 * MS]))
    assert latencies(world([alone], [(0, 0, 3)])) == [30]


def test_work_weighs_by_items() -> None:
    """Two items of work 2 and one of work 5 make 9/3 = 3 times the time of a batch of three."""
    spec = service(10, 14, 20, max_batch=3, max_queue_delay_ms=50)
    assert latencies(world([spec], [(0, 0, 2, 2.0), (0, 0, 1, 5.0)])) == [60, 60]


def test_long_batches_of_heavy_work_do_not_overflow() -> None:
    """10 min alone, 100 items of work 1000: 10^6 min."""
    spec = ServiceSpec(np.array([0, *[600_000 * MS] * 100]), max_batch=100)
    plane = world([spec], [(0, 0, 100, 50.0)], timeout_ms=1e9)
    assert latencies(plane, 1e8) == [600_000 * 50]


def test_queue_limit() -> None:
    """One is served, two wait, the fourth finds the queue full."""
    rows = records(world([service(10, max_queue=2)], [(0, 0), (1, 0), (2, 0), (3, 0)]))
    assert rows["failure"].tolist() == [0, 0, 0, Failure.QUEUE_FULL]
    assert (rows["latency_ns"] / MS).tolist() == [10, 19, 28, 0]


def test_queue_timeout_is_found_out_when_a_batch_could_be_launched() -> None:
    rows = records(world([service(10, max_queue=9, queue_timeout_ms=12)], [(0, 0), (0, 0), (0, 0), (9, 0)]))
    assert rows["failure"].tolist() == [0, 0, Failure.QUEUE_FULL, 0]
    assert (rows["latency_ns"] / MS).tolist() == [10, 20, 20, 21]


def test_waiting_for_the_delay_exactly_as_long_as_the_queue_timeout_is_in_time() -> None:
    rows = records(world([service(10, max_batch=2, max_queue_delay_ms=5, queue_timeout_ms=5)], [(0, 0)]))
    assert (rows["latency_ns"] / MS).tolist() == [15]


def test_first_batch_after_a_load_takes_longer() -> None:
    assert latencies(world([service(10, first_inference_ms=100)], [(0, 0), (0, 0)])) == [110, 120]


def test_a_new_head_has_a_timer_of_its_own() -> None:
    """The timer is for the head at 0 (fires at 5) until 2 fills the batch; the head at 3 then waits until 8."""
    plane = world([service(1, max_batch=2, max_queue_delay_ms=5)], [(0, 0), (2, 0), (3, 0)])
    assert latencies(plane) == [3, 1, 6]


def test_reasons_tell_waiting_for_company_from_waiting_for_the_gpu() -> None:
    """Both wait; the second waits 4 ms for a free instance, then 1 ms for company until its own delay of 5 is over."""
    spec = service(10, max_batch=2, max_queue_delay_ms=5, overhead_ms=3)
    rows = records(world([spec], [(0, 0), (11, 0)]))
    parts = rows["reasons_ns"] / MS
    assert (rows["latency_ns"] / MS).tolist() == [18, 5 + 10 + 3]
    assert parts[:, Reason.BATCH_WAIT].tolist() == [5, 1]
    assert parts[:, Reason.QUEUE].tolist() == [0, 4]
    assert parts[:, Reason.COMPUTE].tolist() == [10, 10]
    assert parts[:, Reason.OVERHEAD].tolist() == [3, 3]
    assert (parts.sum(axis=1) == rows["latency_ns"] / MS).all()
