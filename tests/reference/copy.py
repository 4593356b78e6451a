"""One copy of a model on an instance: the invocations held for it, its batch queue, its batcher."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmesim.core.lifecycle import Residency
from mmesim.core.types import NONE, Failure
from mmesim.dataplane.api import ServiceSpec
from mmesim.dataplane.counters import Reason
from reference.agenda import Entry, Kind
from reference.frontend import FrontEnd
from reference.invocation import Invocation, Stage
from reference.station import Job, Station

if TYPE_CHECKING:
    from reference.plane import ReferencePlane


def service_ns(spec: ServiceSpec, items: int) -> int:
    """Device time of a batch; beyond the table's end each item adds the last step."""
    last = len(spec.service_ns) - 1
    if items <= last:
        return int(spec.service_ns[items])
    before = int(spec.service_ns[last - 1]) if last > 1 else 0
    step_ns = int(spec.service_ns[last]) - before
    return int(spec.service_ns[last]) + step_ns * (items - last)


def share_q16(spec: ServiceSpec, items: int) -> int:
    """Share of its station that a batch wants; beyond the table's end the last one."""
    if isinstance(spec.share_q16, int):
        return spec.share_q16
    return int(spec.share_q16[min(items, len(spec.share_q16) - 1)])


def batch_demand_ns(spec: ServiceSpec, batch: list[Invocation]) -> int:
    """Device time of these invocations together."""
    items = sum(invocation.items for invocation in batch)
    work = sum(invocation.items * invocation.work_q16 for invocation in batch)
    return max(1, (service_ns(spec, items) * work // items) >> 16)


@dataclass(eq=False)
class Walk:
    """What the batcher sees from the head of the queue."""

    walked: list[Invocation]
    full: bool
    preferred: list[Invocation] | None


@dataclass(eq=False)
class Copy:
    """The data plane's side of one (instance, model)."""

    plane: ReferencePlane
    instance: int
    model: int
    spec: ServiceSpec
    device: Station
    cpus: Station
    front: FrontEnd
    held: deque[Invocation] = field(default_factory=deque)
    queue: deque[Invocation] = field(default_factory=deque)
    formed: deque[list[Invocation]] = field(default_factory=deque)
    """Batches that wait for an execution instance."""
    running: int = 0
    timer: Entry | None = None
    warmed_ns: int = NONE
    """`ready_since_ns` of the load whose first batch has been launched."""
    _full_ns: int = 0
    _full_since_ns: int = 0

    @property
    def row(self) -> int:
        """Its row in the residency table."""
        return self.plane.table.row(self.instance, self.model)

    @property
    def is_ready(self) -> bool:
        """True when it can run batches."""
        return self.plane.table.copies["state"][self.row] == Residency.READY

    @property
    def full_ns(self) -> int:
        """Time in which no execution instance was free, up to now."""
        is_full = self.running >= self.spec.instance_count
        return self._full_ns + (self.plane.now_ns - self._full_since_ns if is_full else 0)

    def _set_running(self, running: int) -> None:
        self._full_ns, self._full_since_ns = self.full_ns, self.plane.now_ns
        self.running = running

    # ---- before the queue

    def hold(self, invocation: Invocation) -> None:
        """It waits here until it is released."""
        invocation.stage = Stage.HELD
        invocation.since_ns = self.plane.now_ns
        self.held.append(invocation)

    def release(self) -> None:
        """Those held go on, in order."""
        marks = self.plane.table.copies[self.row]
        while self.held:
            invocation = self.held.popleft()
            invocation.explain_hold(marks, self.plane.now_ns)
            self.serve(invocation)

    def serve(self, invocation: Invocation) -> None:
        """Front end and host stage, if the model needs them; then the batch queue."""
        invocation.stage = Stage.SERVED
        invocation.since_ns = self.plane.now_ns
        demand_ns = self.spec.frontend_ns + self.spec.frontend_per_item_ns * invocation.items
        if demand_ns == 0:
            self.enter_host(invocation)
        else:
            self.front.receive(invocation, demand_ns, self.enter_host, self.plane.now_ns)

    def enter_host(self, invocation: Invocation) -> None:
        """It has been decoded."""
        invocation.spend(Reason.FRONTEND, self.plane.now_ns - invocation.since_ns)
        invocation.since_ns = self.plane.now_ns
        demand_ns = self.spec.cpu_ns + self.spec.cpu_per_item_ns * invocation.items
        if demand_ns == 0:
            self.enqueue(invocation)
        else:
            job = Job(1 << 16, demand_ns, lambda _: self.enqueue(invocation))
            self.cpus.start(job, self.plane.now_ns)

    # ---- the batch queue

    def enqueue(self, invocation: Invocation) -> None:
        """The invocation comes to Triton's queue."""
        now_ns = self.plane.now_ns
        invocation.spend(Reason.HOST_CPU, now_ns - invocation.since_ns)
        invocation.since_ns = now_ns
        if 0 < self.spec.max_queue <= len(self.queue):
            self.plane.fail(invocation, Failure.QUEUE_FULL)
        else:
            invocation.full_ns = self.full_ns
            self.queue.append(invocation)
        self.try_form()

    def may_form(self) -> bool:
        """True while there may be one more batch."""
        return self.running + len(self.formed) < self.spec.instance_count + self.spec.prefetched_batches

    def try_form(self) -> None:
        """Form batches until no more can be formed."""
        while self.is_ready and self.may_form() and self.queue:
            self.drop_late()
            if not self.queue:
                break
            batch = self.next_batch()
            if batch is None:
                self.arm(self.queue[0].since_ns + self.spec.max_queue_delay_ns)
                break
            self.form(batch)

    def drop_late(self) -> None:
        """Those that waited too long are rejected, from the head."""
        limit_ns = self.spec.queue_timeout_ns
        while self.queue and limit_ns > 0 and self.plane.now_ns - self.queue[0].since_ns > limit_ns:
            self.plane.fail(self.queue.popleft(), Failure.QUEUE_FULL)

    def next_batch(self) -> list[Invocation] | None:
        """What to make a batch of now; None: wait for company."""
        walk = self.walk()
        if walk.preferred:
            return walk.preferred
        if walk.full or self.plane.now_ns - self.queue[0].since_ns >= self.spec.max_queue_delay_ns:
            return walk.walked
        return None

    def walk(self) -> Walk:
        """Walk from the head while the sum of items fits."""
        walked: list[Invocation] = []
        preferred = None
        items = 0
        for invocation in self.queue:
            if walked and items + invocation.items > self.spec.max_batch:
                return Walk(walked, True, preferred)
            walked.append(invocation)
            items += invocation.items
            if items in self.spec.preferred:
                preferred = list(walked)
        return Walk(walked, items >= self.spec.max_batch, preferred)

    def form(self, batch: list[Invocation]) -> None:
        """A batch leaves the queue, and runs as soon as an execution instance is free."""
        for _ in batch:
            self.queue.popleft()
        if not self.queue:
            self.disarm()
        self.formed.append(batch)
        self.launch_formed()

    def launch_formed(self) -> None:
        """Free execution instances take the oldest formed batches."""
        while self.formed and self.running < self.spec.instance_count:
            self.launch(self.formed.popleft())

    def launch(self, batch: list[Invocation]) -> None:
        """A batch goes to the device."""
        now_ns = self.plane.now_ns
        demand_ns = batch_demand_ns(self.spec, batch) + self.first_inference_ns()
        self.explain_wait(batch)
        self.plane.tally.launched(self.instance, self.model, batch[0].batch_items)
        self._set_running(self.running + 1)
        station = self.cpus if self.spec.on_cpu else self.device
        weight_q16 = share_q16(self.spec, batch[0].batch_items)
        station.start(Job(weight_q16, demand_ns, lambda _: self.finish(batch, demand_ns)), now_ns)

    def first_inference_ns(self) -> int:
        """What the first batch after a load takes longer."""
        ready_since_ns = int(self.plane.table.copies["ready_since_ns"][self.row])
        is_first, self.warmed_ns = ready_since_ns != self.warmed_ns, ready_since_ns
        return self.spec.first_inference_ns if is_first else 0

    def explain_wait(self, batch: list[Invocation]) -> None:
        """Time in the queue: for an execution instance, or for company."""
        now_ns = self.plane.now_ns
        items = sum(invocation.items for invocation in batch)
        for invocation in batch:
            blocked_ns = self.full_ns - invocation.full_ns
            invocation.spend(Reason.QUEUE, blocked_ns)
            invocation.spend(Reason.BATCH_WAIT, now_ns - invocation.since_ns - blocked_ns)
            invocation.since_ns = now_ns
            invocation.batch_items = items

    def finish(self, batch: list[Invocation], demand_ns: int) -> None:
        """A batch is done: its invocations complete, then the next may start."""
        self._set_running(self.running - 1)
        for invocation in batch:
            invocation.spend(Reason.COMPUTE, demand_ns)
            invocation.spend(Reason.CONTENTION, self.plane.now_ns - invocation.since_ns - demand_ns)
            self.plane.complete(invocation)
        self.launch_formed()
        self.try_form()

    # ---- the timer

    def arm(self, time_ns: int) -> None:
        """Try again at that time; replaces the timer that was set."""
        self.disarm()
        self.timer = self.plane.agenda.at(time_ns, Kind.TIMER, self.row, self.try_form)

    def disarm(self) -> None:
        """No timer."""
        if self.timer:
            self.timer.cancel()
            self.timer = None

    def clear(self) -> None:
        """The instance is gone, and all that was here."""
        self.held.clear()
        self.queue.clear()
        self.formed.clear()
        self.disarm()
        self._set_running(0)
