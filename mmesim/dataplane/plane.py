"""The compiled data plane: :class:`KernelPlane` owns the arrays and calls the kernel.

The kernel comes back for what only Python can do: make arrays larger, fetch the next chunk of arrivals or a user's next
draws, take records away, ask a policy that could not be compiled. Each time it stands between two events (or before a
pending invocation) and is called again; what it returned for does not show in the results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmesim.core.policy import AdmissionPolicy, RoutingPolicy
from mmesim.core.residency import ResidencyTable
from mmesim.core.types import NEVER_NS, NONE, Failure
from mmesim.dataplane import state as st
from mmesim.dataplane.api import N_REASONS, Counters, PlaneSpec, Stop, Stopped, draw
from mmesim.dataplane.check import check
from mmesim.workload.types import ArrivalSource, ClosedLoop


@dataclass(frozen=True)
class Room:
    """Sizes that the arrays begin with; all of them grow when they have to."""

    slots: int = 1024
    """Invocations in flight, retries that wait included."""
    jobs: int = 16
    """Jobs of one station."""
    records: int = 65_536
    """Request records between two visits of the kernel."""
    rebase_q16: int = 1 << 60
    """A busy station's virtual time is set back to 0 above this."""


class KernelPlane:
    """The data plane of a run; see :class:`mmesim.dataplane.api.DataPlane` for what its methods promise."""

    def __init__(self, spec: PlaneSpec, table: ResidencyTable, routing: RoutingPolicy, admission: AdmissionPolicy,
                 arrivals: ArrivalSource | None = None, clients: ClosedLoop | None = None,
                 room: Room = Room()) -> None:
        from mmesim.dataplane import handle, jit, kernel  # numba takes a third of a second to import

        self.spec, self.table, self.now_ns = spec, table, 0
        self.totals = dict.fromkeys(("invocations", "completions", "failures"), 0)
        """Counts since the start, as of the last `take`."""
        self._compiled = jit.COMPILED
        self._run: Callable[..., tuple[int, ...]] = kernel.step if jit.COMPILED else _uncompiled(kernel.step)
        self._listed: Callable[[st.State], Any] = handle.words if jit.COMPILED else lambda state: state
        self._known: st.State | None = None
        self._arrivals, self._clients = arrivals, clients
        self._records: list[NDArray[np.void]] = []
        self._since_ns = 0
        self.state = self._built(room)
        self._set_policies(routing, admission)
        self._set_clients(room)

    # ---- building

    def _built(self, room: Room) -> st.State:
        spec, table, clock = self.spec, self.table, st.fresh_clock(self.spec)
        clock["exhausted"] = self._arrivals is None
        clock["rebase_q16"] = room.rebase_q16
        services, service_of, tables = st.service_tables(spec.services)
        rows = table.n_models * table.n_instances
        stations = st.idle_stations(table.n_instances, spec.cpu_capacity_q16, 0, room.jobs, 0)
        due, tree = st.winner_tree(np.full(len(stations), NEVER_NS))
        pauses = [0, *(spec.retry.backoff(attempt) for attempt in range(1, spec.retry.attempts))]
        return st.State(
            clock=clock, requests=st.free_slots(0, room.slots), parts=np.zeros((room.slots, N_REASONS), np.int64),
            lanes=st.empty_lanes(rows), stations=stations, due=due, tree=tree,
            jobs=np.zeros(len(stations) * room.jobs, st.ENTRY), timers=np.zeros(rows + 1, st.ENTRY),
            clients=np.zeros(room.slots, st.ENTRY), users=np.zeros(0, st.USER), draws=np.zeros((0, st.BLOCK), st.DRAW),
            services=services, service_of=service_of, tables=tables, pauses=np.array(pauses, np.int64),
            stops=np.zeros(2 * room.slots + 2, st.STOP), records=st.record_rows(room.records),
            copies=table.copies, models=table.models, instances=table.instances, ready=table.ready,
            serving=table.serving, arrival_ns=np.zeros(0, np.int64), arrival_model=np.zeros(0, np.int32),
            arrival_items=np.zeros(0, np.int32), arrival_work=np.zeros(0, np.int64),
            **st.fresh_counters(table.n_models, table.n_instances))  # type: ignore[arg-type]

    def _set_policies(self, routing: RoutingPolicy, admission: AdmissionPolicy) -> None:
        """Compile the policies; `interpreted_policy` tells that one of them runs in Python, at each choice."""
        clock = self.state.clock
        clock["blind"], clock["spill"] = routing.blind, routing.spill_outstanding
        clock["always"] = admission.always
        self._routing, self._admission = routing, admission
        if not self._compiled:
            self.interpreted_policy = False
            self._policies: tuple[Any, Any] = routing.score, admission.admit
            return
        from mmesim.dataplane.policy import admit_code, score_code

        self._code = score_code(routing), None if admission.always else admit_code(admission)
        clock["ask_route"] = self._code[0] is None
        clock["ask_admit"] = self._code[1] is None and not admission.always
        self.interpreted_policy = bool(clock["ask_route"][0] or clock["ask_admit"][0])
        self._policies = tuple(0 if code is None else code.address for code in self._code)  # type: ignore[assignment]

    def _set_clients(self, room: Room) -> None:
        clients, clock = self._clients, self.state.clock
        for failure in Failure:
            if failure.http_status in self.spec.retry.on_status:
                clock["retry_mask"] |= 1 << failure
        if clients is None:
            return
        n = clients.n_users
        users = np.zeros(n, st.USER)
        users["stop_ns"], users["block"] = clients.stop_ns, NONE
        waiting = np.zeros(n + room.slots, st.ENTRY)
        waiting["key"][:n], waiting["tie"][:n], waiting["item"][:n] = clients.start_ns, np.arange(n), NONE
        waiting[:n] = waiting[np.argsort(waiting["key"][:n], kind="stable")]  # sorted is a heap
        clock["n_users"] = clock["n_clients"] = n
        clock["user_items"] = clients.items
        self.state = self.state._replace(users=users, clients=waiting, draws=np.zeros((n, st.BLOCK), st.DRAW))

    # ---- running

    def advance(self, horizon_ns: int) -> Stopped:
        """Run events strictly before `horizon_ns`."""
        while True:
            why, instance, model, token = self._step(st.ADVANCE, 0, horizon_ns)
            if why <= Stop.WORK_DONE:
                return Stopped(Stop(why), self.now_ns, instance, model, token)
            self._serve(why, instance, model)

    def _step(self, what: int, target: int = 0, first: int = 0, second: int = 0) -> tuple[int, int, int, int]:
        table, state = self.table, self.state
        if state is not self._known or (table.copies is not state.copies or table.models is not state.models or table.ready is not state.ready
                or table.instances is not state.instances or table.serving is not state.serving):
            self._known = self.state = state._replace(copies=table.copies, models=table.models, ready=table.ready,
                                                      instances=table.instances, serving=table.serving)
            clock = state.clock
            clock["n_slots"], clock["n_stations"] = len(state.requests), len(state.stations)
            clock["n_leaves"], clock["record_rows"] = len(state.tree), len(state.records)
            self._words = self._listed(self.state)
        why, self.now_ns, instance, model, token = self._run(self._words, what, target, first, second,
                                                             *self._policies)
        return why, instance, model, token

    def _serve(self, why: int, instance: int, model: int) -> None:
        if why == st.CHUNK:
            self._next_chunk()
        elif why == st.DRAWS:
            self._next_draws(int(self.state.clients["tie"][0]))
        elif why == st.GROW_SLOTS:
            self._grow_slots()
        elif why == st.GROW_STATION:
            self._grow_stations(instance)
        elif why == st.RECORDS_FULL:
            self._drain_records()
        elif why == st.ASK_ADMIT:
            self._ask_admit(model)
        else:
            assert why == st.ASK_ROUTE, why
            self._ask_route(model)

    def _next_chunk(self) -> None:
        assert self._arrivals is not None
        chunk, clock = self._arrivals.next_chunk(), self.state.clock
        clock["arrival"] = 0
        clock["arrivals"] = 0 if chunk is None else len(chunk)
        clock["exhausted"] = chunk is None
        if chunk is not None:
            self.state = self.state._replace(
                arrival_ns=np.ascontiguousarray(chunk.t_ns, np.int64),
                arrival_model=np.ascontiguousarray(chunk.model, np.int32),
                arrival_items=np.ascontiguousarray(chunk.items, np.int32),
                arrival_work=np.ascontiguousarray(chunk.work_q16, np.int64))

    def _next_draws(self, user: int) -> None:
        assert self._clients is not None
        users, draws = self.state.users, self.state.draws
        block = int(users["issued"][user]) // st.BLOCK
        draws["model"][user], draws["think_ns"][user], draws["work_q16"][user] = self._clients.draws(user, block)
        users["block"][user] = block

    def _ask_admit(self, model: int) -> None:
        clock, table = self.state.clock, self.table
        admitted = self._admission.admit(int(table.models["outstanding"][model]), int(clock["outstanding"][0]),
                                         int(table.models["n_ready"][model]), len(table.serving), self.now_ns)
        if admitted:
            clock["step"] = st.ROUTE
        else:
            self.reject_pending(Failure.THROTTLED)

    def _ask_route(self, model: int) -> None:
        """The lowest score wins, the lowest instance among equals, as in the kernel."""
        table, clock = self.table, self.state.clock
        choice = table.serving if self._routing.blind else table.ready[model, :table.models["n_ready"][model]]
        serial = int(self.state.requests["serial"][clock["pending"][0]])
        clock["chosen"] = min(choice.tolist(), key=lambda instance: (self._score(instance, model, serial), instance))

    def _score(self, instance: int, model: int, serial: int) -> int:
        copy = self.table.copies[self.table.row(instance, model)]
        return self._routing.score(
            int(copy["outstanding"]), int(self.table.instances["outstanding"][instance]), int(copy["last_use_ns"]),
            int(copy["uses"]), draw(self.spec.route_seed, serial, instance), self.now_ns)

    # ---- growing

    def _grow_slots(self) -> None:
        """Twice the slots; the free list is empty, or the new ones go in front of it."""
        state = self.state
        n = len(state.requests)
        more = st.free_slots(n, n)
        more["next"][-1] = state.clock["free"][0]
        state.clock["free"] = n
        self.state = state._replace(
            requests=np.concatenate([state.requests, more]), parts=np.concatenate([state.parts, state.parts]),
            clients=np.concatenate([state.clients, np.zeros(n, st.ENTRY)]),
            stops=np.concatenate([state.stops, np.zeros(2 * n, st.STOP)]))

    def _grow_stations(self, instance: int) -> None:
        """Twice the room for the jobs of an instance, at the end of the array; the old part is closed up."""
        state = self.state
        stations, pieces, base = state.stations, [], 0
        for station in range(len(stations)):
            first, room = int(stations["base"][station]), int(stations["room"][station])
            pieces.append(state.jobs[first:first + room])
            if station >> 1 == instance:
                pieces.append(np.zeros(room, st.ENTRY))
                room *= 2
            stations["base"][station], stations["room"][station] = base, room
            base += room
        self.state = state._replace(jobs=np.concatenate(pieces))

    def grow_instances(self) -> None:
        """The table has more instance slots than before."""
        state, table = self.state, self.table
        old = len(state.stations) // 2
        rows = table.n_models * table.n_instances
        room = 16
        new = st.idle_stations(table.n_instances - old, self.spec.cpu_capacity_q16, len(state.jobs), room, self.now_ns)
        stations = np.concatenate([state.stations, new])
        next_ns = np.full(len(stations), NEVER_NS)
        next_ns[:2 * old] = state.due[:2 * old]
        due, tree = st.winner_tree(next_ns)
        self.state = state._replace(
            stations=stations, due=due, tree=tree,
            jobs=np.concatenate([state.jobs, np.zeros(len(new) * room, st.ENTRY)]),
            lanes=np.concatenate([state.lanes, st.empty_lanes(rows - len(state.lanes))]),
            timers=np.concatenate([state.timers, np.zeros(rows + 1 - len(state.timers), st.ENTRY)]),
            sent=np.concatenate([state.sent, np.zeros(table.n_instances - old, st.INSTANCE_COUNTERS)]))

    # ---- what the control plane does

    def reject_pending(self, failure: Failure) -> None:
        """The pending invocation of the last MISS ends with this failure."""
        assert self.state.clock["pending"][0] != NONE, "no invocation is pending"
        self._ensure_records()
        self._step(st.REJECT, 0, int(failure))

    def release(self, instance: int, model: int) -> None:
        """Send the held invocations of a READY, not stalled copy to the host stage, in order."""
        self._ensure_records()
        self._step(st.RELEASE, self.table.row(instance, model))

    def fail_held(self, instance: int, model: int, failure: Failure) -> None:
        """All invocations held at a copy fail."""
        self._ensure_records()
        self._step(st.FAIL_HELD, self.table.row(instance, model), int(failure))

    def fail_instance(self, instance: int, failure: Failure) -> None:
        """Everything sent to an instance fails; the slot is as new."""
        self._ensure_records()
        self._step(st.FAIL_INSTANCE, instance, int(failure))

    def set_speed(self, instance: int, device_q16: int, cpu_q16: int) -> None:
        """Factors of the two stations' speed (Q16, 1..65536)."""
        self._step(st.SET_SPEED, instance, device_q16, cpu_q16)

    def start_work(self, instance: int, demand_ns: int) -> int:
        """Put host work of so much vCPU time on the instance; returns its token."""
        state = self.state
        works = state.stations["works"]
        jobs = self.table.instances["outstanding"][instance] + works[2 * instance + 1]
        if jobs >= state.stations["room"][2 * instance]:
            self._grow_stations(instance)
        if 2 * len(state.requests) + works.sum() + 2 > len(state.stops):
            self.state = self.state._replace(stops=np.concatenate([state.stops, np.zeros(len(state.stops), st.STOP)]))
        token = int(state.clock["works"][0])
        self._step(st.START_WORK, instance, demand_ns)
        return token

    # ---- what is read

    def take(self) -> Counters:
        """Counters since the last take, integrals brought to `now_ns`."""
        self._step(st.SYNC)
        state = self.state
        endpoint, sent, stations = state.endpoint.reshape(()).copy(), state.sent.copy(), state.stations
        sent["device_busy"], sent["cpu_busy"] = stations["busy"][0::2], stations["busy"][1::2]
        sent["device_jobs_ns"] = stations["jobs_ns"][0::2]
        counters = Counters(self._since_ns, self.now_ns, endpoint, sent, state.sketch.copy())
        self.totals = self.counted()
        self._since_ns = self.now_ns
        state.endpoint[:] = 0
        state.sent[:] = 0
        state.sketch[:] = 0
        stations["busy"] = stations["jobs_ns"] = 0
        return counters

    def counted(self) -> dict[str, int]:
        """Invocations, completions and failures since the start of the run."""
        endpoint = self.state.endpoint
        now = (int(endpoint["invocations"][0]), int(endpoint["completions"][0]), int(endpoint["failures"][0].sum()))
        return {name: before + more for (name, before), more in zip(self.totals.items(), now, strict=True)}

    def take_records(self) -> NDArray[np.void]:
        """REQUEST_RECORD rows since the last call, in order of ending."""
        self._drain_records()
        rows, self._records = self._records, []
        return np.concatenate(rows)

    def _drain_records(self) -> None:
        state = self.state
        n = int(state.clock["n_records"][0])
        self._records.append(state.records[:n].copy())
        state.clock["n_records"] = 0
        wanted = int(state.clock["live"][0]) + 1
        if wanted > len(state.records):
            self.state = state._replace(records=st.record_rows(2 * wanted))

    def _ensure_records(self) -> None:
        """Room for all that an act of the control plane could end."""
        clock = self.state.clock
        if clock["record"][0] and clock["n_records"][0] + clock["live"][0] > len(self.state.records):
            self._drain_records()

    def model_counters(self) -> NDArray[np.void]:
        """(models,) of MODEL_COUNTERS since the start (or since `reset_totals`)."""
        return self.state.by_model.copy()

    def model_sketches(self) -> NDArray[np.uint32]:
        """(models, SKETCH_BUCKETS) completions by latency since the start (or since `reset_totals`)."""
        return self.state.sketches

    def reset_totals(self) -> None:
        """Forget model counters and sketches: the warm-up is over."""
        self.state.by_model[:] = 0
        self.state.sketches[:] = 0

    def in_flight(self) -> int:
        """Invocations issued and not ended for the caller."""
        return int(self.state.clock["live"][0])

    def idle(self) -> bool:
        """True when nothing is left to happen: no arrival, client, request or work."""
        clock = self.state.clock
        if clock["arrival"][0] == clock["arrivals"][0] and not clock["exhausted"][0]:
            self._next_chunk()
        busy = ("live", "outstanding", "n_clients", "n_stops")
        return (clock["arrival"][0] == clock["arrivals"][0] and not any(clock[name][0] for name in busy)
                and not self.state.stations["works"].any())

    def check(self) -> None:
        """Recompute from the slots what is counted on the way; an AssertionError is a bug of ours."""
        check(self)


def _uncompiled(step: Callable[..., tuple[int, ...]]) -> Callable[..., tuple[int, ...]]:
    """The kernel as plain Python: NumPy's integers wrap as the compiled ones do, without saying so."""
    def run(*arguments: Any) -> tuple[int, ...]:
        with np.errstate(over="ignore"):
            return tuple(map(int, step(*arguments)))

    return run
