"""The compiled data plane: :class:`KernelPlane` owns the arrays and calls the kernel.

The kernel comes back for what only Python can do: make arrays larger, fetch the next chunk of arrivals or a user's next
draws, take records away, ask a policy that could not be compiled. Each time it stands between two events (or before a
pending invocation) and is called again; what it returned for does not show in the results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmesim.core.answers import yes_or_no
from mmesim.core.choice import Choice, choice
from mmesim.core.policy import AdmissionPolicy, RoutingPolicy, WrongAnswer
from mmesim.core.residency import ResidencyTable
from mmesim.core.types import NONE, Failure
from mmesim.dataplane import arrays
from mmesim.dataplane import state as st
from mmesim.dataplane.api import PlaneSpec, Stop, Stopped, draw
from mmesim.dataplane.arrays import ROOM, Room
from mmesim.dataplane.check import check
from mmesim.dataplane.counters import REQUEST_RECORD, Counters
from mmesim.workload.types import ArrivalSource, ClosedLoop


class KernelPlane:
    """The data plane of a run; see :class:`mmesim.dataplane.api.DataPlane` for what its methods promise."""

    def __init__(self, spec: PlaneSpec, table: ResidencyTable, routing: RoutingPolicy, admission: AdmissionPolicy,
                 arrivals: ArrivalSource | None = None, clients: ClosedLoop | None = None,
                 room: Room = ROOM) -> None:
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
        self._room = room
        self.state = arrays.fresh(spec, table, clients, room)
        self.state.clock["exhausted"] = arrivals is None
        self._set_policies(routing, admission)

    def _set_policies(self, routing: RoutingPolicy, admission: AdmissionPolicy) -> None:
        """Compile the policies; `interpreted_policy` tells that one of them runs in Python, at each choice."""
        from mmesim.dataplane.policy import admit_code, admit_in_python, score_code, score_in_python

        clock = self.state.clock
        clock["blind"], clock["spill"] = routing.blind, routing.spill_outstanding
        clock["always"] = admission.always
        self._routing, self._admission = routing, admission
        if not self._compiled:
            self.interpreted_policy = False
            self._policies: tuple[Any, Any] = score_in_python(routing), admit_in_python(admission)
            return
        self._code = score_code(routing), None if admission.always else admit_code(admission)
        clock["ask_route"] = self._code[0] is None
        clock["ask_admit"] = self._code[1] is None and not admission.always
        self.interpreted_policy = bool(clock["ask_route"][0] or clock["ask_admit"][0])
        self._policies = tuple(0 if code is None else code.address for code in self._code)

    # ---- running

    def advance(self, horizon_ns: int) -> Stopped:
        """Run events strictly before `horizon_ns`."""
        while True:
            why, instance, model, token = self._step(st.ADVANCE, 0, horizon_ns)
            if why <= Stop.WORK_DONE:
                return Stopped(Stop(why), self.now_ns, instance, model, token)
            self._serve(why, instance, model)

    def _step(self, what: int, target: int = 0, first: int = 0, second: int = 0) -> tuple[int, int, int, int]:
        if self.state is not self._known or self._table_moved():
            table = self.table
            self._known = self.state = arrays.measured(self.state._replace(
                copies=table.copies, models=table.models, ready=table.ready, instances=table.instances,
                serving=table.serving))
            self._words = self._listed(self.state)
        # plain integers: an enumeration would be another type, and another compilation
        why, self.now_ns, instance, model, token = self._run(self._words, what, int(target), int(first), int(second),
                                                             *self._policies)
        return why, instance, model, token

    def _table_moved(self) -> bool:
        """The control plane has put other arrays into the table."""
        table, state = self.table, self.state
        return (table.serving is not state.serving or table.copies is not state.copies
                or table.models is not state.models or table.ready is not state.ready
                or table.instances is not state.instances)

    def _serve(self, why: int, instance: int, model: int) -> None:
        if why == st.CHUNK:
            self._next_chunk()
        elif why == st.DRAWS:
            self._next_draws(int(self.state.clients["tie"][0]))
        elif why == st.GROW_SLOTS:
            self.state = arrays.more_slots(self.state)
        elif why == st.GROW_STATION:
            self.state = arrays.more_jobs(self.state, instance)
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
        if yes_or_no(self._admission, "admit", admitted):
            clock["step"] = st.ROUTE
        else:
            self.reject_pending(Failure.THROTTLED)

    def _ask_route(self, model: int) -> None:
        """The lowest score wins, the lowest instance among equals, as in the kernel."""
        table, clock = self.table, self.state.clock
        offered = table.serving if self._routing.blind else table.ready[model, :table.models["n_ready"][model]]
        serial = int(self.state.requests["serial"][clock["pending"][0]])
        scores = [(self._score(instance, model, serial, position, len(offered)), instance)
                  for position, instance in enumerate(offered.tolist())]
        clock["chosen"] = min(scores)[1]

    def _score(self, instance: int, model: int, serial: int, position: int, offered: int) -> int:
        table, seed = self.table, self.spec.route_seed
        read = choice(table.copies, table.models, table.instances, table.row(instance, model), model, instance,
                      position, offered, draw(seed, serial, instance), draw(seed, serial, NONE),
                      self.state.clock["outstanding"][0], len(table.serving), self.now_ns)
        return checked_score(self._routing, self._routing.score(Choice(*map(int, read)), self.now_ns))

    # ---- what the control plane does

    def grow_instances(self) -> None:
        """The table has more instance slots than before."""
        self.state = arrays.more_instances(self.state, self.table, self.spec.cpu_capacity_q16, self._room.jobs)

    def reject_pending(self, failure: Failure) -> None:
        """The pending invocation of the last MISS ends with this failure."""
        assert self.state.clock["pending"][0] != NONE, "no invocation is pending"
        self._ensure_records()
        self._step(st.REJECT, 0, failure)

    def release(self, instance: int, model: int) -> None:
        """Send the held invocations of a READY, not stalled copy to the front end, in order."""
        self._ensure_records()
        self._step(st.RELEASE, self.table.row(instance, model))

    def fail_held(self, instance: int, model: int, failure: Failure) -> None:
        """All invocations held at a copy fail."""
        self._ensure_records()
        self._step(st.FAIL_HELD, self.table.row(instance, model), failure)

    def fail_instance(self, instance: int, failure: Failure) -> None:
        """Everything sent to an instance fails; the slot is as new."""
        self._ensure_records()
        self._step(st.FAIL_INSTANCE, instance, failure)

    def set_speed(self, instance: int, device_q16: int, cpu_q16: int) -> None:
        """Factors of the two stations' speed (Q16, 1..65536)."""
        self._step(st.SET_SPEED, instance, device_q16, cpu_q16)

    def start_work(self, instance: int, demand_ns: int) -> int:
        """Put host work of so much vCPU time on the instance; returns its token."""
        works = self.state.stations["works"]
        jobs = self.table.instances["outstanding"][instance] + works[2 * instance + 1]
        if jobs >= self.state.stations["room"][2 * instance]:
            self.state = arrays.more_jobs(self.state, instance)
        if 2 * len(self.state.requests) + works.sum() + 2 > len(self.state.stops):
            self.state = arrays.more_stops(self.state, len(self.state.stops))
        token = int(self.state.clock["works"][0])
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
            self.state = state._replace(records=np.zeros(2 * wanted, REQUEST_RECORD))

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
        return self.state.sketches.copy()

    def reset_totals(self) -> None:
        """Forget model counters and sketches: the warm-up is over."""
        self.state.by_model[:] = 0
        self.state.sketches[:] = 0

    def in_flight(self) -> int:
        """Invocations issued and not ended for the caller."""
        return int(self.state.clock["live"][0])

    def in_flight_age_ns(self) -> int:
        """Sum over the invocations in flight of the time since their issue."""
        requests = self.state.requests
        live = (requests["stage"] != st.FREE) & (requests["stage"] != st.RETRY) & (requests["gone"] == 0)
        return int((self.now_ns - requests["issued_ns"][live]).sum())

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


def checked_score(policy: RoutingPolicy, score: object) -> int:
    """The score, if it is one. Raises WrongAnswer."""
    if isinstance(score, int | np.integer) and -(1 << 63) <= score < 1 << 63:
        return int(score)
    raise WrongAnswer(f"{type(policy).__name__}.score returned {score!r} ({type(score).__name__}); a score is an int "
                      "of 64 bits")


def _uncompiled(step: Callable[..., tuple[int, ...]]) -> Callable[..., tuple[int, ...]]:
    """The kernel as plain Python: NumPy's integers wrap as the compiled ones do, without saying so."""
    def run(*arguments: Any) -> tuple[int, ...]:
        with np.errstate(over="ignore"):
            return tuple(map(int, step(*arguments)))

    return run
