"""The reference data plane: :mod:`mmesim.dataplane.api` told in objects and callbacks, one rule a method."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from mmesim.core.choice import Choice
from mmesim.core.lifecycle import Residency
from mmesim.core.policy import AdmissionPolicy, RoutingPolicy
from mmesim.core.residency import ResidencyTable, decayed
from mmesim.core.types import NONE, Failure, Tier
from mmesim.dataplane.api import ONE_Q16, PlaneSpec, Stop, Stopped, draw
from mmesim.dataplane.counters import Counters, Reason
from mmesim.workload.types import ArrivalSource, ClosedLoop
from reference.agenda import Agenda, Kind
from reference.clients import Clients, OpenWorkload
from reference.copy import Copy
from reference.frontend import FrontEnd
from reference.invocation import Invocation, Stage
from reference.station import Job, Station
from reference.tally import Tally


class ReferencePlane:
    """Implements :class:`mmesim.dataplane.api.DataPlane`."""

    interpreted_policy = True

    def __init__(self, spec: PlaneSpec, table: ResidencyTable, routing: RoutingPolicy, admission: AdmissionPolicy,
                 arrivals: ArrivalSource | None, clients: ClosedLoop | None) -> None:
        self.spec = spec
        self.table = table
        self.routing = routing
        self.admission = admission
        self.now_ns = 0
        self.agenda = Agenda()
        self.tally = Tally(table.n_models, table.n_instances, spec.record_requests)
        self.stops: deque[Stopped] = deque()
        self.pending: Invocation | None = None
        self.outstanding = 0
        self.devices: list[Station] = []
        self.cpus: list[Station] = []
        self.fronts: list[FrontEnd] = []
        self.copies: list[list[Copy]] = []
        self.present: list[list[Invocation]] = []
        """Invocations sent to each instance and not finished."""
        self._issued = 0
        self._works_started = 0
        self._works: dict[int, int] = {}
        """Instance of each host work under way, by token."""
        self.grow_instances()
        self.clients = Clients(clients, spec.retry, spec.retry_seed, self.agenda, self.issue)
        if arrivals:
            OpenWorkload(arrivals, self.agenda, self.issue)

    def grow_instances(self) -> None:
        """See the protocol."""
        for instance in range(len(self.copies), self.table.n_instances):
            self._add_instance(instance)
        self.tally.grow(self.table.n_instances)

    def _add_instance(self, instance: int) -> None:
        device = Station(2 * instance, ONE_Q16, self.spec.interference_q16, self.agenda, self._station_event)
        cpus = Station(2 * instance + 1, self.spec.cpu_capacity_q16, 0, self.agenda, self._station_event)
        device.at_ns = cpus.at_ns = self.now_ns
        self.devices.append(device)
        self.cpus.append(cpus)
        front = FrontEnd(self.spec.frontend_threads, self.agenda)
        self.fronts.append(front)
        self.copies.append([Copy(self, instance, model, service, device, cpus, front)
                            for model, service in enumerate(self.spec.services)])
        self.present.append([])

    # ---- time

    def advance(self, horizon_ns: int) -> Stopped:
        """See the protocol."""
        assert horizon_ns >= self.now_ns, "time does not go back"
        while True:
            if self.stops:
                return self.stops.popleft()
            if self.pending:
                again, self.pending = self.pending, None
                self._route(again)
            elif self.agenda.next_ns() < horizon_ns:
                self.now_ns, action = self.agenda.pop()
                action()
            else:
                self.now_ns = horizon_ns
                return Stopped(Stop.HORIZON, horizon_ns)

    def _stop(self, stop: Stop, instance: int = NONE, model: int = NONE, token: int = NONE) -> None:
        self.stops.append(Stopped(stop, self.now_ns, instance, model, token))

    def _station_event(self, station: Station) -> None:
        station.finish(self.now_ns)

    # ---- issue, admission, routing

    def issue(self, invocation: Invocation) -> None:
        """A new invocation, now."""
        invocation.serial = self._issued
        self._issued += 1
        invocation.issued_ns = self.now_ns
        if invocation.attempt == 1:
            invocation.first_issued_ns = self.now_ns
        invocation.deadline = self.agenda.at(self.now_ns + self.spec.timeout_ns, Kind.DEADLINE, invocation.serial,
                                             lambda: self._expire(invocation))
        self.tally.issued(invocation, self.now_ns)
        if self._admits(invocation.model):
            self._route(invocation)
        else:
            self.fail(invocation, Failure.THROTTLED)

    def _admits(self, model: int) -> bool:
        if self.admission.always:
            return True
        row = self.table.models[model]
        return bool(self.admission.admit(int(row["outstanding"]), self.outstanding, int(row["n_ready"]),
                                         len(self.table.serving), self.now_ns))

    def _route(self, invocation: Invocation) -> None:
        if self.routing.blind:
            self._route_blind(invocation)
        else:
            self._route_aware(invocation)

    def _route_aware(self, invocation: Invocation) -> None:
        model = invocation.model
        row = self.table.models[model]
        ready = [int(instance) for instance in self.table.ready[model][:row["n_ready"]]]
        if ready:
            instance = self._lowest(invocation, ready)
            if self._wishes(invocation, instance):
                invocation.wished = True
                self.pending = invocation
                self._stop(Stop.WISH, model=model)
            else:
                self._send(invocation, instance)
        elif row["joining"] >= 0:
            self._send(invocation, int(row["joining"]))
        elif self.now_ns < row["failed_until_ns"]:
            self.fail(invocation, Failure.LOAD_FAILED)
        elif len(self.table.serving) == 0:
            self.fail(invocation, Failure.INSTANCE_LOST)
        else:
            self.pending = invocation
            self._stop(Stop.MISS, model=model)

    def _wishes(self, invocation: Invocation, instance: int) -> bool:
        row = self.table.models[invocation.model]
        spill = self.routing.spill_outstanding
        copy = self.table.copies[self.table.row(instance, invocation.model)]
        return bool(not invocation.wished and 0 < spill <= copy["outstanding"]
                    and row["n_copies"] < len(self.table.serving) and row["joining"] == NONE
                    and self.now_ns >= row["wish_after_ns"])

    def _route_blind(self, invocation: Invocation) -> None:
        model = invocation.model
        if invocation.chosen == NONE:
            if len(self.table.serving) == 0:
                self.fail(invocation, Failure.INSTANCE_LOST)
                return
            invocation.chosen = self._lowest(invocation, [int(instance) for instance in self.table.serving])
        instance = invocation.chosen
        copy = self.table.copies[self.table.row(instance, model)]
        if copy["state"] == Residency.READY or copy["cold"] == 1:
            self._send(invocation, instance)
        elif self.now_ns < self.table.models["failed_until_ns"][model]:
            self.fail(invocation, Failure.LOAD_FAILED)
        else:
            self.pending = invocation
            self._stop(Stop.MISS, instance, model)

    def _lowest(self, invocation: Invocation, instances: list[int]) -> int:
        scores = [self._score(invocation, instances, position) for position in range(len(instances))]
        return min(zip(scores, instances, strict=True))[1]

    def _score(self, invocation: Invocation, instances: list[int], position: int) -> int:
        return int(self.routing.score(self._choice(invocation, instances, position), self.now_ns))

    def _choice(self, invocation: Invocation, instances: list[int], position: int) -> Choice:
        instance, model = instances[position], invocation.model
        copy, box = self.table.copies[self.table.row(instance, model)], self.table.instances[instance]
        return Choice(
            model=model, instance=instance, position=position, offered=len(instances),
            draw=self._draw(invocation, instance), request_draw=self._draw(invocation, NONE),
            outstanding=int(copy["outstanding"]), instance_outstanding=int(box["outstanding"]),
            endpoint_outstanding=self.outstanding, serving=len(self.table.serving),
            last_use_ns=int(copy["last_use_ns"]), uses=int(copy["uses"]),
            ready=int(copy["state"] == Residency.READY), ready_in_ns=self._ready_in_ns(instance, model),
            service_ns=int(self.table.models["service_ns"][model]), backlog_ns=int(box["backlog_ns"]))

    def _draw(self, invocation: Invocation, which: int) -> int:
        return draw(self.spec.route_seed, invocation.serial, which)

    def _ready_in_ns(self, instance: int, model: int) -> int:
        copy = self.table.copies[self.table.row(instance, model)]
        if copy["state"] == Residency.READY:
            return 0
        if copy["cold"]:
            return max(0, int(copy["expected_ready_ns"]) - self.now_ns)
        fetch = copy["state"] in (Residency.ABSENT, Residency.DOWNLOADING)
        reload_ns = self.table.models["reload_s3_ns" if fetch else "reload_disk_ns"][model]
        return int(self.table.instances["load_backlog_ns"][instance] + reload_ns)

    def _send(self, invocation: Invocation, instance: int) -> None:
        invocation.instance = instance
        row = self.table.copies[self.table.row(instance, invocation.model)]
        is_ready = row["state"] == Residency.READY
        invocation.tier = int(Tier.GPU if is_ready else row["tier"])
        self.present[instance].append(invocation)
        self._count(invocation, +1)
        self._touch(row, invocation.model)
        self.tally.sent(invocation)
        copy = self.copies[instance][invocation.model]
        if is_ready and self.table.instances["stalled"][instance] == 0:
            copy.serve(invocation)
        else:
            copy.hold(invocation)

    def _touch(self, row: np.void, model: int) -> None:
        self.table.models["uses"][model] += 1
        self.table.models["last_use_ns"][model] = self.now_ns
        row["last_use_ns"] = self.now_ns
        row["uses"] += 1
        row["rate_q16"], row["rate_at_ns"] = decayed(int(row["rate_q16"]), int(row["rate_at_ns"]), self.now_ns)
        row["rate_q16"] += ONE_Q16

    def _count(self, invocation: Invocation, change: int) -> None:
        self.table.copies["outstanding"][self.table.row(invocation.instance, invocation.model)] += change
        self.table.models["outstanding"][invocation.model] += change
        self.table.instances["outstanding"][invocation.instance] += change
        service_ns = self.table.models["service_ns"][invocation.model]
        self.table.instances["backlog_ns"][invocation.instance] += change * service_ns
        self.outstanding += change

    # ---- ends

    def complete(self, invocation: Invocation) -> None:
        """Its service ends now."""
        self._leave(invocation)
        self._report_idle(invocation.instance, invocation.model)
        if not invocation.abandoned:
            overhead_ns = self.spec.services[invocation.model].overhead_ns
            invocation.spend(Reason.OVERHEAD, overhead_ns)
            seen_ns = self.now_ns + overhead_ns
            invocation.deadline.cancel()
            self.tally.completed(invocation, seen_ns - invocation.issued_ns, self.now_ns)
            self.clients.answered(invocation, seen_ns)

    def fail(self, invocation: Invocation, failure: Failure) -> None:
        """It fails now, wherever it is."""
        if invocation.instance != NONE:
            self._leave(invocation)
            self._report_idle(invocation.instance, invocation.model)
        if not invocation.abandoned:
            self._tell_failure(invocation, failure)

    def _tell_failure(self, invocation: Invocation, failure: Failure) -> None:
        invocation.deadline.cancel()
        self.tally.failed(invocation, failure, self.now_ns)
        self.clients.failed(invocation, failure, self.now_ns)

    def _leave(self, invocation: Invocation) -> None:
        self.present[invocation.instance].remove(invocation)
        self._count(invocation, -1)
        invocation.stage = Stage.ENDED

    def _report_idle(self, instance: int, model: int) -> None:
        copy = self.table.copies[self.table.row(instance, model)]
        if copy["watch"] == 1 and copy["outstanding"] == 0:
            self._stop(Stop.IDLE, instance, model)
        box = self.table.instances[instance]
        if box["draining"] and box["outstanding"] == 0:
            self._stop(Stop.INSTANCE_IDLE, instance)

    def _expire(self, invocation: Invocation) -> None:
        """Its deadline is here: not loaded yet, or abandoned to the server."""
        if invocation.stage is Stage.HELD:
            self.copies[invocation.instance][invocation.model].held.remove(invocation)
            self.fail(invocation, Failure.MODEL_NOT_READY)
        else:
            assert invocation.stage is Stage.SERVED
            self._tell_failure(invocation, Failure.TIMEOUT)
            invocation.abandoned = True

    # ---- what the control plane asks

    def reject_pending(self, failure: Failure) -> None:
        """See the protocol."""
        assert self.pending, "nothing is pending"
        invocation, self.pending = self.pending, None
        self.fail(invocation, failure)

    def release(self, instance: int, model: int) -> None:
        """See the protocol."""
        self.copies[instance][model].release()

    def fail_held(self, instance: int, model: int, failure: Failure) -> None:
        """See the protocol."""
        held = self.copies[instance][model].held
        while held:
            self.fail(held.popleft(), failure)

    def fail_instance(self, instance: int, failure: Failure) -> None:
        """See the protocol."""
        for station in (self.devices[instance], self.cpus[instance]):
            station.clear(self.now_ns)
        self.fronts[instance].clear()
        for copy in self.copies[instance]:
            copy.clear()
        self._works = {token: where for token, where in self._works.items() if where != instance}
        for invocation in sorted(self.present[instance], key=lambda one: one.serial):
            self._leave(invocation)
            if not invocation.abandoned:
                self._tell_failure(invocation, failure)

    def set_speed(self, instance: int, device_q16: int, cpu_q16: int) -> None:
        """See the protocol."""
        self.devices[instance].set_factor(device_q16, self.now_ns)
        self.cpus[instance].set_factor(cpu_q16, self.now_ns)

    def start_work(self, instance: int, demand_ns: int) -> int:
        """See the protocol."""
        token = self._works_started
        self._works_started += 1
        self._works[token] = instance
        self.cpus[instance].start(Job(ONE_Q16, demand_ns, lambda _: self._end_work(token)), self.now_ns)
        return token

    def _end_work(self, token: int) -> None:
        self._stop(Stop.WORK_DONE, self._works.pop(token), token=token)

    # ---- what it tells

    def take(self) -> Counters:
        """See the protocol."""
        for instance, (device, cpus) in enumerate(zip(self.devices, self.cpus, strict=True)):
            device.catch_up(self.now_ns)
            cpus.catch_up(self.now_ns)
            counters = self.tally.instances[instance]
            counters["device_busy"], counters["cpu_busy"] = device.busy, cpus.busy
            counters["device_jobs_ns"] = device.jobs_ns
            device.busy = cpus.busy = device.jobs_ns = 0
        return self.tally.take(self.now_ns)

    def take_records(self) -> NDArray[np.void]:
        """See the protocol."""
        return self.tally.take_records()

    def model_counters(self) -> NDArray[np.void]:
        """See the protocol."""
        return self.tally.models

    def model_sketches(self) -> NDArray[np.uint32]:
        """See the protocol."""
        return self.tally.model_sketches

    def reset_totals(self) -> None:
        """See the protocol."""
        self.tally.reset_totals()

    def in_flight(self) -> int:
        """See the protocol."""
        return len(self.tally.in_flight)

    def in_flight_age_ns(self) -> int:
        """See the protocol."""
        return sum(self.now_ns - issued_ns for issued_ns in self.tally.in_flight.values())

    def check(self) -> None:
        """See the protocol."""
        counts = self.table.copies["outstanding"].reshape(self.table.n_instances, self.table.n_models)
        assert [len(present) for present in self.present] == counts.sum(axis=1).tolist()
        assert self.table.instances["outstanding"].tolist() == counts.sum(axis=1).tolist()
        assert self.table.models["outstanding"].tolist() == counts.sum(axis=0).tolist()
        assert self.outstanding == counts.sum()
        assert self.table.instances["backlog_ns"].tolist() == (counts @ self.table.models["service_ns"]).tolist()

    def idle(self) -> bool:
        """See the protocol."""
        to_come = self.agenda.has(Kind.ARRIVAL, Kind.CLIENT)
        return not (to_come or self.outstanding or self.pending or self._works)
