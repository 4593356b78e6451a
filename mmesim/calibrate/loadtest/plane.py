"""A data plane whose requests come from a :class:`~mmesim.calibrate.loadtest.generator.LoadGenerator`.

The endpoint and the load generator are two worlds that speak through messages: requests one way, answers the other.
An answer is seen an overhead (network and front end) after its service ended, so what the endpoint does within a window
no longer than the shortest overhead cannot touch the generator within that window. The two take turns, a window each:
conservative parallel simulation with a lookahead (Chandy and Misra, "Distributed simulation", IEEE TSE 1979); no event
is out of order. A failure has no overhead; it is seen at the end of its window at the latest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmesim.calibrate.loadtest.generator import GeneratorSpec, LoadGenerator, Sent
from mmesim.core.policy import AdmissionPolicy, RoutingPolicy
from mmesim.core.residency import ResidencyTable
from mmesim.core.types import NEVER_NS
from mmesim.dataplane.api import PlaneSpec, Stop, Stopped
from mmesim.dataplane.plane import KernelPlane
from mmesim.workload.types import ArrivalSource, ClosedLoop


class GeneratedPlane(KernelPlane):
    """The compiled data plane, driven by users in processes instead of ideal ones."""

    def __init__(self, generator: GeneratorSpec, seed: int, spec: PlaneSpec, table: ResidencyTable,
                 routing: RoutingPolicy, admission: AdmissionPolicy, arrivals: ArrivalSource | None,
                 clients: ClosedLoop | None) -> None:
        assert arrivals is None and clients is not None and spec.record_requests
        self.generator = LoadGenerator(generator, clients, seed)
        super().__init__(spec, table, routing, admission)
        self._items = clients.items
        self._lookahead_ns = min(service.overhead_ns for service in spec.services)
        assert self._lookahead_ns > 0
        self._until_ns = 0
        self._sender: list[int] = []
        self._seen = 0
        self._told: list[NDArray[np.void]] = []

    def advance(self, horizon_ns: int) -> Stopped:
        """Run events strictly before `horizon_ns`, window by window."""
        while True:
            stopped = super().advance(min(horizon_ns, self._until_ns))
            if stopped.stop is not Stop.HORIZON or horizon_ns <= self._until_ns:
                return stopped
            self._next_window()

    def take_records(self) -> NDArray[np.void]:
        """See :meth:`KernelPlane.take_records`."""
        self._tell()
        rows, self._told = self._told, []
        return np.concatenate(rows)

    def idle(self) -> bool:
        """See :meth:`KernelPlane.idle`."""
        return super().idle() and self.generator.next_ns == NEVER_NS

    def _next_window(self) -> None:
        """Answers go to the generator, its next requests come to the endpoint."""
        self._tell()
        begins_ns = self._until_ns if self._seen < len(self._sender) else max(self._until_ns, self.generator.next_ns)
        self._until_ns = begins_ns + self._lookahead_ns
        self._deliver(self.generator.run(self._until_ns))

    def _deliver(self, sent: list[Sent]) -> None:
        """The next chunk of arrivals: as many as are sent in the window, into arrays that only grow (the kernel knows
        where they are)."""
        state, n = self.state, len(sent)
        if n > len(state.arrival_ns):
            self.state = state = state._replace(
                arrival_ns=np.zeros(2 * n, np.int64), arrival_model=np.zeros(2 * n, np.int32),
                arrival_items=np.full(2 * n, self._items, np.int32), arrival_work=np.zeros(2 * n, np.int64))
        for at, (t_ns, user, model, work_q16) in enumerate(sent):
            state.arrival_ns[at], state.arrival_model[at], state.arrival_work[at] = t_ns, model, work_q16
            self._sender.append(user)
        state.clock["arrival"], state.clock["arrivals"] = 0, n

    def _tell(self) -> None:
        rows = super().take_records()
        for serial, issued_ns, latency_ns, failure in zip(
                *(rows[name].tolist() for name in ("serial", "issued_ns", "latency_ns", "failure")), strict=True):
            self.generator.answer(self._sender[serial], max(issued_ns + latency_ns, self.now_ns), failure != 0)
        self._seen += len(rows)
        self._told.append(rows)
