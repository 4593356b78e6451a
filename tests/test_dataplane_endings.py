"""How invocations end, and what callers do then: deadlines, retries, users, lost instances; by cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mmesim.core.types import NONE, Failure
from mmesim.dataplane.api import RetrySpec, Stop, draw
from mmesim.policies.admission.queue_limit import QueueLimit
from tests.dataplane_world import MS, Users, cold_start, loaded, make_ready, records, service, stops, world

NO_JITTER = {"backoff_ns": 10 * MS, "jitter_q16": 0}


# ---- deadlines


def test_a_held_invocation_gives_up_at_its_deadline() -> None:
    """The first is not there any more when the copy is READY; the second is."""
    plane = world([service(5)], [(0, 0), (10, 0)], ready=[], timeout_ms=20)
    plane.advance(100 * MS)
    cold_start(plane.table, 0, 0, 0)
    stops(plane, 25)
    assert plane.table.copies["outstanding"][0] == 1
    loaded(plane.table, 0, 0, ready_since=20)
    plane.release(0, 0)
    rows = records(plane)
    assert rows["failure"].tolist() == [Failure.MODEL_NOT_READY, 0]
    assert (rows["latency_ns"] / MS).tolist() == [20, 20]


def test_an_abandoned_invocation_keeps_its_place() -> None:
    """Three of 10 ms, time for 15: the second is given up while it runs, the third while it waits for its turn."""
    plane = world([service(10)], [(0, 0), (1, 0), (2, 0), (31, 0)], timeout_ms=15)
    stops(plane, 18)
    assert plane.in_flight() == 0
    assert plane.table.copies["outstanding"][0] == 2
    plane.check()
    assert not plane.idle()
    rows = records(plane)
    assert rows["failure"].tolist() == [0, Failure.TIMEOUT, Failure.TIMEOUT, 0]
    assert (rows["latency_ns"] / MS).tolist() == [10, 15, 15, 10]
    assert rows["batch_items"].tolist() == [1, 1, 0, 1]
    took = plane.take()
    assert took.endpoint["completions"] == took.instances["completions"][0] == 2
    assert took.endpoint["batches"] == 4
    assert took.endpoint["in_flight_ns"] == (10 + 15 + 15 + 10) * MS
    assert plane.table.copies["outstanding"][0] == 0


def test_an_answer_at_the_very_deadline_is_in_time_whatever_the_network_adds() -> None:
    plane = world([service(10, overhead_ms=7)], [(0, 0)], timeout_ms=10)
    assert records(plane)[["failure", "latency_ns"]].tolist() == [(0, 17 * MS)]


def test_an_abandoned_invocation_can_be_dropped_from_the_queue() -> None:
    plane = world([service(10, queue_timeout_ms=5)], [(0, 0), (1, 0)], timeout_ms=7)
    plane.table.copies["watch"] = 1
    assert [(s.stop, s.time_ns) for s in stops(plane)] == [(Stop.IDLE, 10 * MS)]
    rows = records(plane)
    assert rows["failure"].tolist() == [Failure.TIMEOUT] * 2
    assert plane.take().endpoint["failures"].tolist()[Failure.QUEUE_FULL] == 0


# ---- idle copies and instances


def test_idle_copies_and_instances_are_told_after_the_whole_event() -> None:
    """A batch of two ends: both complete, the copy is idle, and so is the draining instance; in this order."""
    plane = world([service(10, max_batch=2, max_queue_delay_ms=5), service(10, share_q16=0)], [(0, 0), (0, 0), (20, 1)])
    plane.table.copies["watch"] = [1, 0]
    plane.table.instances["draining"] = 1
    told = [(s.stop, s.time_ns // MS, s.instance, s.model) for s in stops(plane)]
    assert told == [(Stop.IDLE, 10, 0, 0), (Stop.INSTANCE_IDLE, 10, 0, NONE), (Stop.INSTANCE_IDLE, 30, 0, NONE)]


def test_failures_make_idle_too() -> None:
    plane = world([service(5)], [(0, 0), (1, 0)], ready=[], timeout_ms=30)
    plane.table.copies["watch"] = 1
    plane.advance(100 * MS)
    cold_start(plane.table, 0, 0, 0)
    assert [(s.stop, s.time_ns // MS) for s in stops(plane)] == [(Stop.IDLE, 31)]


def test_what_the_control_plane_ends_is_told_at_the_next_advance() -> None:
    """Before the pending invocation is routed; a lost instance tells nothing."""
    plane = world([service(5)] * 2, [(0, 0), (1, 1), (2, 1)], instances=2, ready=[])
    plane.table.copies["watch"] = 1
    plane.advance(100 * MS)
    cold_start(plane.table, 0, 0, 0)
    assert plane.advance(100 * MS).stop == Stop.MISS
    plane.fail_held(0, 0, Failure.LOAD_FAILED)
    assert [plane.advance(100 * MS).stop for _ in range(2)] == [Stop.IDLE, Stop.MISS]
    cold_start(plane.table, 1, 1, 1)
    assert stops(plane, 5) == []
    plane.fail_instance(1, Failure.INSTANCE_LOST)
    assert stops(plane) == []


# ---- a lost instance


def test_a_lost_instance_fails_everything_in_order_and_is_as_new() -> None:
    """In the host stage, in the queue, running, abandoned, held: all gone; the other instance goes on."""
    specs = [service(10, cpu_ms=1), service(10, max_batch=2, max_queue_delay_ms=50)]
    plane = world(specs, [(0, 0), (0, 0), (9.5, 0), (9.6, 1), (9.7, 0)], instances=2, timeout_ms=9.9,
                  ready=[(0, 0), (0, 1)])
    plane.start_work(0, 500 * MS)
    plane.set_speed(0, 1 << 15, 1 << 15)
    assert stops(plane, 10) == []
    plane.fail_instance(0, Failure.INSTANCE_LOST)
    plane.check()
    assert plane.in_flight() == 0
    for array in (plane.table.copies, plane.table.models, plane.table.instances):
        assert not array["outstanding"].any()
    rows = records(plane)
    assert rows["failure"].tolist() == [Failure.TIMEOUT] * 2 + [Failure.INSTANCE_LOST] * 3
    assert plane.idle()


def test_an_instance_slot_is_used_again() -> None:
    plane = world([service(10)], [(0, 0), (100, 0)])
    stops(plane, 5)
    plane.fail_instance(0, Failure.INSTANCE_LOST)
    rows = records(plane)
    assert rows["failure"].tolist() == [Failure.INSTANCE_LOST, 0]
    assert (rows["latency_ns"] / MS).tolist() == [5, 10]


def test_instances_can_be_added() -> None:
    plane = world([service(10), service(10)], [(0, 0), (6, 0), (7, 1)], ready=[(0, 0)])
    stops(plane, 5)
    plane.table.grow(3)
    plane.grow_instances()
    plane.table.set_serving(2, True)
    for model in range(2):
        make_ready(plane.table, 2, model)
    rows = records(plane)
    assert rows["instance"].tolist() == [0, 2, 2]
    assert (rows["latency_ns"] / MS).tolist() == [10, 19, 19]
    assert plane.take().instances["completions"].tolist() == [1, 0, 2]


# ---- retries


def test_throttled_attempts_are_tried_again() -> None:
    """Only one may be in flight. The second is refused at 1, again at 11 and 31 (pauses 10 and 20), served at 71."""
    plane = world([service(35)], [(0, 0), (1, 0), (30, 0)], admission=QueueLimit(per_endpoint=1),
                  retry=RetrySpec(attempts=4, **NO_JITTER))
    rows = records(plane)
    second = rows[rows["first_issued_ns"] == MS]
    assert (second["issued_ns"] / MS).tolist() == [1, 11, 31, 71]
    assert second["attempt"].tolist() == [1, 2, 3, 4]
    assert second["failure"].tolist()[:3] == [Failure.THROTTLED] * 3
    took = plane.take().endpoint
    assert took["invocations"] == len(rows) and took["retries"] == np.count_nonzero(rows["attempt"] > 1)


def test_the_last_attempt_is_final() -> None:
    plane = world([service(35)], [(0, 0), (1, 0)], admission=QueueLimit(per_endpoint=1),
                  retry=RetrySpec(attempts=2, **NO_JITTER))
    assert records(plane)["failure"].tolist() == [0, Failure.THROTTLED, Failure.THROTTLED]
    assert plane.idle()


def test_jitter() -> None:
    """Half of the pause is cut off by a random part."""
    retry = RetrySpec(attempts=3, backoff_ns=1000 * MS, jitter_q16=1 << 15)
    plane = world([service(1)], [(5, 0)], ready=[], retry=retry, retry_seed=77)
    plane.table.set_serving(0, False)
    t, expected = 5 * MS, []
    for serial, attempt in ((0, 1), (1, 2)):
        pause = 1000 * MS << (attempt - 1)
        t += pause - ((pause >> 1) * (draw(77, serial, attempt) >> 46) >> 16)
        expected.append(t)
    assert records(plane)["issued_ns"].tolist() == [5 * MS, *expected]


def test_an_abandoned_invocation_may_be_tried_again_while_the_server_goes_on() -> None:
    plane = world([service(40)], [(0, 0, 1, 0.5), (1, 0)], timeout_ms=30, instances=2,
                  retry=RetrySpec(attempts=2, on_status=(424,), **NO_JITTER))
    rows = records(plane)
    assert rows["failure"].tolist() == [0, Failure.TIMEOUT, Failure.TIMEOUT]
    assert rows["issued_ns"][2] == 41 * MS
    assert rows["instance"].tolist() == [0, 1, 0]


# ---- users


def test_users_think_and_go_on() -> None:
    """Served at once in 10 ms, answer seen 2 ms later, 5 ms of thought: every 17 ms; none after 40."""
    users = Users(2, think_ms=5, stop_ms=40, start_ms=[0, 3])
    plane = world([service(10, share_q16=0, instance_count=2, overhead_ms=2)], clients=users)
    rows = records(plane)
    assert rows[["user", "issued_ns"]].tolist() == [
        (0, 0), (1, 3 * MS), (0, 17 * MS), (1, 20 * MS), (0, 34 * MS), (1, 37 * MS)]
    assert plane.idle()


def test_users_draw_block_after_block() -> None:
    users = Users(2, model=lambda user, k: (user + k // 10) % 3, think_ms=1, start_ms=[0, 0])
    plane = world([service(1, share_q16=0)] * 3, clients=users)
    rows = records(plane, 300)
    for user in range(2):
        mine = rows[rows["user"] == user]
        assert mine["model"].tolist() == [users.model(user, k) for k in range(len(mine))]
        assert len(mine) > 64
    assert sorted(users.asked) == [(user, block) for user in range(2) for block in range(3)]


def test_a_user_waits_for_the_final_failure() -> None:
    """User 1 is refused at 0 and 10 (final), thinks 100 and is served; user 0 is served at once."""
    users = Users(2, think_ms=100, stop_ms=115)
    plane = world([service(30)], clients=users, admission=QueueLimit(per_endpoint=1),
                  retry=RetrySpec(attempts=2, **NO_JITTER))
    rows = records(plane)
    assert rows[["user", "issued_ns", "failure", "attempt"]].tolist() == [
        (0, 0, 0, 1), (1, 0, Failure.THROTTLED, 1), (1, 10 * MS, Failure.THROTTLED, 2), (1, 110 * MS, 0, 1)]


def test_a_user_whose_invocation_was_abandoned_goes_on() -> None:
    users = Users(1, think_ms=5, stop_ms=30)
    rows = records(world([service(100, instance_count=3, share_q16=0)], clients=users, timeout_ms=20))
    assert rows[["issued_ns", "failure"]].tolist() == [(0, Failure.TIMEOUT), (25 * MS, Failure.TIMEOUT)]


@pytest.mark.parametrize("together", [True, False])
def test_users_come_before_retries_and_both_before_arrivals(together: bool) -> None:
    """All at 10 ms: the user, the retry of the refused arrival, an arrival."""
    users = Users(1, stop_ms=11, start_ms=[10 if together else 10.5])
    plane = world([service(1000)] * 3, [(0, 1), (10, 2)], ready=[], clients=users,
                  retry=RetrySpec(attempts=2, on_status=(503,), **NO_JITTER))
    plane.table.set_serving(0, False)
    stops(plane, 5)
    rows = records(plane)
    first, retry, arrival, user = (NONE, 1, 1), (NONE, 1, 2), (NONE, 2, 1), (0, 0, 1)
    in_order = [first, user, retry, arrival] if together else [first, retry, arrival, user]
    assert rows[["user", "model", "attempt"]].tolist()[:4] == in_order
