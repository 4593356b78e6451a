"""Faults of stations, order, routing, ends and clients to plant into the reference plane; see `plant`."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from mmesim.core.choice import Choice
from mmesim.core.lifecycle import Residency
from mmesim.core.types import NONE, Failure
from mmesim.dataplane.api import ONE_Q16, Stop, draw
from reference import tally
from reference.agenda import Agenda, Kind
from reference.clients import Clients
from reference.frontend import FrontEnd
from reference.invocation import Invocation, Stage
from reference.plane import ReferencePlane
from reference.plant import Faults, register
from reference.station import Job, Station

FAULTS: Faults = {}
fault = partial(register, FAULTS)


# ---- stations


@fault(Station, "start")
def job_starts_before_virtual_time_is_brought_up(self: Station, job: Job, now_ns: int) -> None:
    stale = self.virtual if self.jobs else 0
    self.catch_up(now_ns)
    self.virtual = self.virtual if self.jobs else 0
    heapq.heappush(self.jobs, (stale + (job.demand_ns << 16), self.started, job))
    self.started += 1
    self.aim()


@fault(Station, "set_factor")
def speed_changes_before_virtual_time_is_brought_up(self: Station, factor_q16: int, now_ns: int) -> None:
    self.factor_q16 = factor_q16
    self.catch_up(now_ns)
    self.aim()


@fault(Station, "aim")
def completion_rounded_down(self: Station) -> None:
    if self.entry:
        self.entry.cancel()
    if self.jobs:
        left = max(0, self.jobs[0][0] - self.virtual)
        due_ns = self.at_ns + max(1, left // self.speed())
        self.entry = self.agenda.at(due_ns, Kind.STATION, self.number, lambda: self.on_event(self))


@fault(Station, "speed")
def device_shared_by_number_instead_of_weight(self: Station) -> int:
    share = ONE_Q16 * self.capacity_q16 // max(self.capacity_q16, ONE_Q16 * len(self.jobs))
    return max(1, (share * self.factor_q16 >> 16) * self.interference() >> 16)


@fault(Station, "interference")
def a_lone_batch_suffers_interference(self: Station) -> int:
    return ONE_Q16 * ONE_Q16 // (ONE_Q16 + self.interference_q16 * len(self.jobs))


@fault(Station, "start")
def equal_tags_leave_in_reverse_order(self: Station, job: Job, now_ns: int) -> None:
    self.catch_up(now_ns)
    self.virtual = self.virtual if self.jobs else 0
    self.started -= 1
    heapq.heappush(self.jobs, (self.virtual + (job.demand_ns << 16), self.started, job))
    self.aim()


# ---- order of events


_at = Agenda.at


def _swapped(one: Kind, other: Kind) -> Callable[..., Any]:
    swap = {one: other, other: one}
    return lambda self, time_ns, kind, entity, action: _at(self, time_ns, swap.get(kind, kind), entity, action)


FAULTS["deadline before completion at one instant"] = Agenda, "at", _swapped(Kind.DEADLINE, Kind.STATION)
FAULTS["arrival before client at one instant"] = Agenda, "at", _swapped(Kind.ARRIVAL, Kind.CLIENT)
FAULTS["timer before completion at one instant"] = Agenda, "at", _swapped(Kind.TIMER, Kind.STATION)
FAULTS["client before deadline at one instant"] = Agenda, "at", _swapped(Kind.CLIENT, Kind.DEADLINE)
FAULTS["deadline before timer at one instant"] = Agenda, "at", _swapped(Kind.DEADLINE, Kind.TIMER)


FAULTS["timer before front end at one instant"] = Agenda, "at", _swapped(Kind.TIMER, Kind.FRONT_END)
FAULTS["front end before completion at one instant"] = Agenda, "at", _swapped(Kind.FRONT_END, Kind.STATION)
FAULTS["deadline before front end at one instant"] = Agenda, "at", _swapped(Kind.DEADLINE, Kind.FRONT_END)


@fault(Agenda, "at")
def higher_entity_first_at_one_instant(self: Agenda, time_ns: int, kind: Kind, entity: int, action: Any) -> Any:
    return _at(self, time_ns, kind, -entity if kind is Kind.STATION else entity, action)


# ---- front end


@fault(FrontEnd, "receive")
def who_comes_last_is_decoded_first(self: FrontEnd, *waiting: Any) -> None:
    self.line.appendleft(waiting[:3])
    self.work(waiting[3])


@fault(FrontEnd, "work")
def the_front_end_has_one_thread(self: FrontEnd, now_ns: int) -> None:
    if self.line and not self.busy:
        self.take(0, *self.line.popleft(), now_ns)


@fault(FrontEnd, "take")
def what_is_decoded_at_one_instant_goes_on_in_reverse_order(self: FrontEnd, thread: int, invocation: Invocation,
                                                            demand_ns: int, handler: Any, now_ns: int) -> None:
    ends_ns = now_ns + demand_ns
    self.busy[thread] = self.agenda.at(ends_ns, Kind.FRONT_END, -invocation.serial,
                                       lambda: self.done(thread, invocation, handler, ends_ns))


@fault(FrontEnd, "done")
def the_line_waits_for_the_next_to_come(self: FrontEnd, thread: int, invocation: Invocation, handler: Any,
                                        now_ns: int) -> None:
    del self.busy[thread]
    handler(invocation)


@fault(FrontEnd, "clear")
def the_line_survives_a_crash(self: FrontEnd) -> None:
    for entry in self.busy.values():
        entry.cancel()
    self.busy.clear()


@fault(FrontEnd, "clear")
def threads_that_a_crash_finds_busy_stay_so(self: FrontEnd) -> None:
    self.line.clear()
    for entry in self.busy.values():
        entry.cancel()


_expire = ReferencePlane._expire


@fault(ReferencePlane, "_expire")
def an_abandoned_request_leaves_the_line(self: ReferencePlane, invocation: Invocation) -> None:
    front = self.fronts[invocation.instance]
    front.line = deque(waiting for waiting in front.line if waiting[0] is not invocation)
    _expire(self, invocation)


# ---- routing and the table


@fault(ReferencePlane, "_lowest")
def ties_go_to_the_highest_instance(self: ReferencePlane, invocation: Invocation, instances: list[int]) -> int:
    scores = [self._score(invocation, instances, position) for position in range(len(instances))]
    return -min(zip(scores, [-instance for instance in instances], strict=True))[1]


_choice, _ready_in_ns = ReferencePlane._choice, ReferencePlane._ready_in_ns


@fault(ReferencePlane, "_choice")
def positions_begin_at_one(self: ReferencePlane, invocation: Invocation, instances: list[int], position: int) -> Choice:
    return _choice(self, invocation, instances, position)._replace(position=position + 1)


@fault(ReferencePlane, "_choice")
def each_copy_has_a_request_draw_of_its_own(self: ReferencePlane, *arguments: Any) -> Choice:
    choice = _choice(self, *arguments)
    return choice._replace(request_draw=choice.draw)


@fault(ReferencePlane, "_choice")
def the_request_itself_is_outstanding(self: ReferencePlane, *arguments: Any) -> Choice:
    choice = _choice(self, *arguments)
    return choice._replace(endpoint_outstanding=choice.endpoint_outstanding + 1)


@fault(ReferencePlane, "_choice")
def a_model_is_told_the_service_time_of_the_first(self: ReferencePlane, *arguments: Any) -> Choice:
    return _choice(self, *arguments)._replace(service_ns=int(self.table.models["service_ns"][0]))


@fault(ReferencePlane, "_ready_in_ns")
def a_cold_start_under_way_is_told_as_it_began(self: ReferencePlane, instance: int, model: int) -> int:
    copy = self.table.copies[self.table.row(instance, model)]
    if copy["cold"]:
        return int(copy["expected_ready_ns"] - copy["requested_ns"])
    return _ready_in_ns(self, instance, model)


@fault(ReferencePlane, "_ready_in_ns")
def loads_ahead_of_a_new_one_are_forgotten(self: ReferencePlane, instance: int, model: int) -> int:
    row = self.table.row(instance, model)
    told_ns = _ready_in_ns(self, instance, model)
    is_new = told_ns and not self.table.copies["cold"][row]
    return told_ns - int(self.table.instances["load_backlog_ns"][instance]) if is_new else told_ns


@fault(ReferencePlane, "_ready_in_ns")
def files_that_are_on_the_disk_are_fetched_again(self: ReferencePlane, instance: int, model: int) -> int:
    copy, box = self.table.copies[self.table.row(instance, model)], self.table.instances[instance]
    if copy["state"] != Residency.READY and not copy["cold"]:
        return int(box["load_backlog_ns"] + self.table.models["reload_s3_ns"][model])
    return _ready_in_ns(self, instance, model)


_fail = ReferencePlane.fail


@fault(ReferencePlane, "fail")
def the_backlog_keeps_what_has_failed(self: ReferencePlane, invocation: Invocation, failure: Failure) -> None:
    _fail(self, invocation, failure)
    if invocation.instance != NONE:
        service_ns = self.table.models["service_ns"][invocation.model]
        self.table.instances["backlog_ns"][invocation.instance] += service_ns


@fault(ReferencePlane, "_touch")
def rate_is_not_decayed(self: ReferencePlane, row: Any, model: int) -> None:
    self.table.models["uses"][model] += 1
    self.table.models["last_use_ns"][model] = self.now_ns
    row["last_use_ns"] = self.now_ns
    row["uses"] += 1
    row["rate_q16"] += ONE_Q16


_touch = ReferencePlane._touch


@fault(ReferencePlane, "_touch")
def a_model_is_not_used_while_it_is_loaded(self: ReferencePlane, row: Any, model: int) -> None:
    _touch(self, row, model)
    self.table.models["uses"][model] -= row["state"] != Residency.READY


@fault(ReferencePlane, "_touch")
def last_use_stays_stale_while_a_request_waits(self: ReferencePlane, row: Any, model: int) -> None:
    before_ns = int(row["last_use_ns"])
    _touch(self, row, model)
    if row["cold"]:
        row["last_use_ns"] = before_ns


@fault(ReferencePlane, "_admits")
def admission_counts_the_invocation_itself(self: ReferencePlane, model: int) -> bool:
    row = self.table.models[model]
    return bool(self.admission.always or self.admission.admit(
        int(row["outstanding"]), self.outstanding + 1, int(row["n_ready"]), len(self.table.serving), self.now_ns))


@fault(ReferencePlane, "_wishes")
def wish_in_spite_of_a_copy_on_its_way(self: ReferencePlane, invocation: Invocation, instance: int) -> bool:
    row = self.table.models[invocation.model]
    copy = self.table.copies[self.table.row(instance, invocation.model)]
    return bool(not invocation.wished and 0 < self.routing.spill_outstanding <= copy["outstanding"]
                and row["n_copies"] < len(self.table.serving) and self.now_ns >= row["wish_after_ns"])


_route = ReferencePlane._route


@fault(ReferencePlane, "_route")
def blind_router_chooses_again_after_a_miss(self: ReferencePlane, invocation: Invocation) -> None:
    invocation.chosen = NONE
    _route(self, invocation)


# ---- ends


@fault(ReferencePlane, "_expire")
def an_abandoned_request_is_no_longer_outstanding(self: ReferencePlane, invocation: Invocation) -> None:
    if invocation.stage is Stage.HELD:
        self.copies[invocation.instance][invocation.model].held.remove(invocation)
        self.fail(invocation, Failure.MODEL_NOT_READY)
        return
    self._tell_failure(invocation, Failure.TIMEOUT)
    self._count(invocation, -1)
    invocation.abandoned = True


_report_idle = ReferencePlane._report_idle


@fault(ReferencePlane, "_report_idle")
def nobody_hears_that_a_copy_is_idle_after_a_failure(self: ReferencePlane, instance: int, model: int) -> None:
    if self.copies[instance][model].held or self.now_ns % 3:
        _report_idle(self, instance, model)


@fault(ReferencePlane, "_report_idle")
def instance_idle_before_copy_idle(self: ReferencePlane, instance: int, model: int) -> None:
    before = len(self.stops)
    _report_idle(self, instance, model)
    fresh = [self.stops.pop() for _ in range(len(self.stops) - before)]
    self.stops.extend(sorted(fresh, key=lambda stopped: stopped.stop != Stop.INSTANCE_IDLE))


@fault(ReferencePlane, "fail_instance")
def host_work_survives_a_crash(self: ReferencePlane, instance: int, failure: Failure) -> None:
    self.devices[instance].clear(self.now_ns)
    for copy in self.copies[instance]:
        copy.clear()
    for invocation in sorted(self.present[instance], key=lambda one: one.serial):
        self._leave(invocation)
        if not invocation.abandoned:
            self._tell_failure(invocation, failure)


# ---- clients


@fault(Clients, "pause_ns")
def jitter_drawn_for_the_next_attempt(self: Clients, invocation: Invocation) -> int:
    backoff_ns = self._retry.backoff(invocation.attempt)
    random_q16 = draw(self._retry_seed, invocation.serial, invocation.attempt + 1) >> 46
    return backoff_ns - ((backoff_ns * self._retry.jitter_q16 >> 16) * random_q16 >> 16)


@fault(Invocation, "again")
def a_retry_forgets_when_the_first_attempt_was(self: Invocation) -> Invocation:
    return Invocation(self.model, self.items, self.work_q16, self.user, self.think_ns, self.attempt + 1, self.issued_ns)


_answered = Clients.answered


@fault(Clients, "answered")
def thinking_begins_one_ns_late(self: Clients, invocation: Invocation, seen_ns: int) -> None:
    _answered(self, invocation, seen_ns + 1)


# ---- counters


_bucket = tally.sketch_bucket


@fault(tally, "sketch_bucket")
def large_latencies_in_the_next_bucket(latency_ns: int) -> int:
    return _bucket(latency_ns) + (latency_ns >= 1 << 24)
