"""Admission and routing: which copy, misses, wishes, held requests; by cases worked by hand."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mmesim.core.policy import AdmissionPolicy, RoutingPolicy
from mmesim.core.types import NONE, Failure, Tier
from mmesim.dataplane.api import Stop, draw
from mmesim.dataplane.counters import Reason
from mmesim.dataplane.plane import KernelPlane
from mmesim.policies.admission.queue_limit import QueueLimit
from mmesim.policies.routing.random import Random
from mmesim.testing.views import copy, model_spec
from tests.dataplane_world import (
    MS,
    Fewest,
    cold_start,
    loaded,
    make_ready,
    records,
    residency,
    service,
    stops,
    world,
)


def instances(plane: KernelPlane) -> list[int]:
    return records(plane)["instance"].tolist()


def test_ties_go_to_the_lowest_instance() -> None:
    assert instances(world([service(10)], [(0, 0)] * 5, instances=3)) == [0, 1, 2, 0, 1]


def test_only_ready_copies_count() -> None:
    assert instances(world([service(10)], [(0, 0)] * 3, instances=3, ready=[(2, 0), (1, 0)])) == [1, 2, 1]


def test_draws_are_those_of_the_contract() -> None:
    plane = world([service(10)], [(t, 0) for t in range(50)], instances=3, routing=Random(spill_outstanding=0),
                  route_seed=2**63 + 5)
    assert instances(plane) == [min(range(3), key=lambda i, n=n: draw(2**63 + 5, n, i)) for n in range(50)]


def test_what_is_told_to_the_score() -> None:
    """Three requests, two models on instances 0 and 1 (model 1 on 0 only, on the disk of 1); each field by hand."""
    seen = []

    @dataclass
    class Nosy(RoutingPolicy):
        blind: bool = True

        def score(self, copy, now_ns):
            seen.append((copy, now_ns))
            return copy.instance

    plane = world([service(10)] * 2, [(0, 0), (1, 1), (5, 0)], ready=[(0, 0), (0, 1), (1, 0)], instances=2,
                  routing=Nosy(), route_seed=9)
    known = [model_spec(reload_disk_s=1.0 + k, reload_s3_s=7.0, service_s=0.01 + k) for k in range(2)]
    plane.table.know(known, load_threads=2)
    assert instances(plane) == [0, 0, 0]
    draws = [[draw(9, n, i) for i in (0, 1, NONE)] for n in range(3)]
    idle = {"offered": 2, "serving": 2}
    of = [{**idle, "request_draw": draws[n][2], "model": n % 2, "service_ns": (10 + 1000 * (n % 2)) * MS}
          for n in range(3)]
    busy = {"outstanding": 1, "instance_outstanding": 2, "endpoint_outstanding": 2, "uses": 1, "backlog_ns": 1020 * MS}
    assert seen == [
        (copy(**of[0], draw=draws[0][0]), 0), (copy(**of[0], draw=draws[0][1], instance=1, position=1), 0),
        (copy(**of[1], draw=draws[1][0], instance_outstanding=1, endpoint_outstanding=1, backlog_ns=10 * MS), MS),
        (copy(**of[1], draw=draws[1][1], instance=1, position=1, endpoint_outstanding=1, ready=0,
              ready_in_ns=7000 * MS), MS),
        (copy(**of[2], **busy, draw=draws[2][0]), 5 * MS),
        (copy(**of[2], draw=draws[2][1], instance=1, position=1, endpoint_outstanding=2), 5 * MS)]


@pytest.mark.parametrize(("state", "cold", "expected_ms"), [
    ("nowhere", False, 7000 + 2500), ("on disk", False, 2000 + 2500), ("nowhere", True, 1000 + 7000 - 400)])
def test_when_a_copy_can_be_ready(state: str, cold: bool, expected_ms: int) -> None:
    """Model 0 takes 2 s from the disk and 7 s from S3, two at a time. Another model (5 s from the disk) has been on its
    way since before: 5/2 s lie ahead of a new load. A cold start that began at 0, behind one of 2/2 s, is 0.4 s old."""
    told = []

    @dataclass
    class Nosy(RoutingPolicy):
        blind: bool = True

        def score(self, copy, now_ns):
            told.append((copy.ready, copy.ready_in_ns))
            return 0

    plane = world([service(10)] * 3, [(400, 0)], ready=[], routing=Nosy())
    table = plane.table
    table.know([model_spec(reload_disk_s=s, reload_s3_s=7.0) for s in (2.0, 5.0, 2.0)], load_threads=2)
    if state == "on disk":
        table.advance(0, 0, "start download")
        table.advance(0, 0, "download finished")
    cold_start(table, 0, 2 if cold else 1, 0, Tier.DISK)
    if cold:
        cold_start(table, 0, 0, 0)
    plane.advance(401 * MS)
    assert told == [(0, expected_ms * MS)]


def test_loads_under_way_are_counted_until_they_end() -> None:
    """Two at a time: 3 s from the disk and 8 s from S3 make 5.5 s; halves of odd ns are cut off, as they were added."""
    table = residency(2, 1, [])
    table.know([model_spec(reload_disk_s=3.0, reload_s3_s=8.0), model_spec(reload_s3_s=8.000000001)], load_threads=2)
    cold_start(table, 0, 0, 0, Tier.DISK)
    cold_start(table, 0, 1, 0, Tier.S3)
    assert table.instances["load_backlog_ns"].tolist() == [5_500_000_000]
    loaded(table, 0, 0)
    loaded(table, 0, 1)
    assert table.instances["load_backlog_ns"].tolist() == [0]


def test_counts_of_a_copy() -> None:
    plane = world([service(10)], [(0, 0), (3, 0)])
    stops(plane, 4)
    row = plane.table.copies[0]
    assert (row["outstanding"], row["uses"], row["last_use_ns"], row["rate_q16"]) == (2, 2, 3 * MS, 2 << 16)
    assert plane.table.models["outstanding"][0] == plane.table.instances["outstanding"][0] == plane.in_flight() == 2


# ---- misses


def test_a_miss_waits_for_the_controller_and_is_then_held() -> None:
    """Cold start at 0: download until 10, extracted at 14, memory and thread at 15, READY at 20, dispatched at 21."""
    plane = world([service(5)], [(0, 0), (12, 0), (30, 0)], ready=[])
    missed = plane.advance(100 * MS)
    assert (missed.stop, missed.time_ns, missed.model, missed.instance) == (Stop.MISS, 0, 0, NONE)
    cold_start(plane.table, 0, 0, 0)
    assert stops(plane, 21) == []
    assert plane.in_flight() == 2 and plane.table.copies["outstanding"][0] == 2
    loaded(plane.table, 0, 0, downloaded=10, extracted=14, load_started=15, ready_since=20)
    plane.release(0, 0)
    rows = records(plane)
    assert (rows["latency_ns"] / MS).tolist() == [26, 19, 6]
    assert rows["tier"].tolist() == [Tier.S3, Tier.S3, Tier.GPU]
    held = rows["reasons_ns"][:, :Reason.FRONTEND] / MS
    assert held.tolist() == [[10, 4, 1, 5, 1], [0, 2, 1, 5, 1], [0] * 5]
    assert plane.take().endpoint["loading_wait_ns"] == (20 + 8) * MS


def test_the_controller_may_make_it_ready_at_once_or_reject() -> None:
    plane = world([service(5)] * 2, [(0, 0), (1, 1)], ready=[])
    plane.advance(100 * MS)
    make_ready(plane.table, 0, 0)
    assert plane.advance(100 * MS).model == 1
    plane.reject_pending(Failure.NO_SUCH_MODEL)
    rows = records(plane)
    assert rows["failure"].tolist() == [0, Failure.NO_SUCH_MODEL]
    assert rows[["instance", "tier", "batch_items", "latency_ns"]].tolist() == [(0, 0, 1, 5 * MS), (NONE, NONE, 0, 0)]


def test_a_miss_is_asked_again_until_something_is_done() -> None:
    plane = world([service(5)], [(0, 0)], ready=[])
    assert [plane.advance(100 * MS).stop for _ in range(3)] == [Stop.MISS] * 3


def test_recently_failed_models_and_empty_endpoints_refuse() -> None:
    plane = world([service(5)], [(0, 0), (9, 0), (10, 0)], ready=[])
    plane.table.models["failed_until_ns"][0] = 10 * MS
    assert plane.advance(100 * MS).time_ns == 10 * MS
    plane.table.set_serving(0, False)
    assert records(plane)["failure"].tolist() == [Failure.LOAD_FAILED, Failure.LOAD_FAILED, Failure.INSTANCE_LOST]


def test_held_requests_fail_together() -> None:
    plane = world([service(5)], [(0, 0), (1, 0)], ready=[])
    plane.advance(100 * MS)
    cold_start(plane.table, 0, 0, 0)
    stops(plane, 7)
    plane.fail_held(0, 0, Failure.LOAD_FAILED)
    rows = records(plane)
    assert rows["failure"].tolist() == [Failure.LOAD_FAILED] * 2
    assert (rows["latency_ns"] / MS).tolist() == [7, 6]
    assert plane.idle()


def test_a_stalled_instance_holds_although_the_copy_is_ready() -> None:
    plane = world([service(5)], [(0, 0), (3, 0)])
    plane.table.instances["stalled"][0] = 1
    stops(plane, 2)
    plane.table.instances["stalled"][0] = 0
    plane.release(0, 0)
    rows = records(plane)
    assert (rows["latency_ns"] / MS).tolist() == [7, 9]
    assert rows["tier"].tolist() == [Tier.GPU] * 2
    assert (rows["reasons_ns"][:, Reason.STALL] / MS).tolist() == [2, 0]


# ---- wishes


def test_a_busy_copy_makes_the_router_wish_once() -> None:
    """Two in flight suffice; the third invocation wishes, is served at the same copy nevertheless, as is the fourth."""
    plane = world([service(50)], [(t, 0) for t in range(4)], instances=2, ready=[(0, 0)],
                  routing=Fewest(spill_outstanding=2))
    told = stops(plane, 50)
    assert [(s.stop, s.time_ns // MS, s.model) for s in told] == [(Stop.WISH, 2, 0), (Stop.WISH, 3, 0)]
    assert instances(plane) == [0] * 4


@pytest.mark.parametrize("why_not", ["all have one", "one is joining", "too early", "off"])
def test_no_wish(why_not: str) -> None:
    everywhere = None if why_not == "all have one" else [(0, 0)]
    plane = world([service(50)], [(t, 0) for t in range(4)], instances=2, ready=everywhere,
                  routing=Fewest(spill_outstanding=0 if why_not == "off" else 1))
    if why_not == "one is joining":
        cold_start(plane.table, 1, 0, 0)
    if why_not == "too early":
        plane.table.models["wish_after_ns"][0] = 4 * MS
    assert stops(plane, 50) == []


def test_a_granted_wish_is_used_at_once() -> None:
    plane = world([service(50)], [(0, 0), (1, 0)], instances=2, ready=[(0, 0)], routing=Fewest(spill_outstanding=1))
    assert plane.advance(50 * MS).stop == Stop.WISH
    make_ready(plane.table, 1, 0)
    assert instances(plane) == [0, 1]


# ---- blind


def test_blind_routing_misses_at_the_chosen_instance() -> None:
    """Instance 0 has nothing: a miss there, then the cold start is joined; 1 is chosen when 0 has more in flight."""
    plane = world([service(5)], [(0, 0), (1, 0)], instances=2, ready=[(1, 0)], routing=Fewest(blind=True))
    missed = plane.advance(100 * MS)
    assert (missed.stop, missed.model, missed.instance) == (Stop.MISS, 0, 0)
    cold_start(plane.table, 0, 0, 0, Tier.DISK)
    assert stops(plane, 10) == []
    loaded(plane.table, 0, 0, ready_since=10)
    plane.release(0, 0)
    rows = records(plane)
    assert rows["instance"].tolist() == [0, 1]
    assert rows["tier"].tolist() == [Tier.DISK, Tier.GPU]


def test_blind_routing_looks_again_at_the_same_instance() -> None:
    """Were the choice made anew after the miss, the lower instance 0 would get it when 1 is as empty."""
    plane = world([service(5)], [(0, 0), (0, 0)], instances=2, ready=[(0, 0)], routing=Fewest(blind=True))
    assert plane.advance(100 * MS).instance == 1
    plane.fail_instance(0, Failure.INSTANCE_LOST)
    make_ready(plane.table, 1, 0)
    assert instances(plane) == [0, 1]


# ---- admission


def test_refused_invocations() -> None:
    plane = world([service(10)], [(t, 0) for t in range(4)], admission=QueueLimit(per_endpoint=2))
    assert records(plane)["failure"].tolist() == [0, 0, Failure.THROTTLED, Failure.THROTTLED]


def test_what_admission_is_told() -> None:
    seen = []

    @dataclass
    class Nosy(AdmissionPolicy):
        def admit(self, model_outstanding, endpoint_outstanding, ready_copies, serving_instances, now_ns):
            seen.append((model_outstanding, endpoint_outstanding, ready_copies, serving_instances, now_ns))
            return now_ns != MS

    plane = world([service(10)] * 2, [(0, 0), (1, 0), (2, 1), (3, 0)], instances=3, ready=[(0, 0), (2, 0), (0, 1)],
                  admission=Nosy())
    assert plane.interpreted_policy is plane._compiled
    assert records(plane)["failure"].tolist() == [0, Failure.THROTTLED, 0, 0]
    assert seen == [(0, 0, 2, 3, 0), (1, 1, 2, 3, MS), (1 - 1, 1, 1, 3, 2 * MS), (1, 2, 2, 3, 3 * MS)]
