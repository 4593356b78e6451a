"""The live loop: requests and the world's news go into the machine, its actions into the world.

It is the endpoint that the gateway sees (`mmesim.live.ports.Endpoint`). All of it runs in one event loop; whatever the
machine is told, it is told at once, so that the journal holds one order of things.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmesim.core import actions as act
from mmesim.core import events as ev
from mmesim.core.lifecycle import Residency
from mmesim.core.types import NONE, Failure
from mmesim.live.clock import Clock
from mmesim.live.fleet import Fleet, Watch
from mmesim.live.hands import Hands, Limits, TakeAway
from mmesim.live.keeper import Keeper
from mmesim.live.machine import Machine, Sink
from mmesim.live.models import Models
from mmesim.live.ports import MAX_ATTEMPTS, FetchFailed, Provisioner, Server, ServerDown, Store, Ticket
from mmesim.live.setup import Setup
from mmesim.units import format_bytes

if TYPE_CHECKING:
    from mmesim.live.meter import Meter

log = logging.getLogger("mmesim.live")

SERVER_WAIT_S = 30.0
"""How long a request waits while no server is in service; starting a Triton takes a few seconds at most (assumed)."""
SERVER_POLL_S = 0.02


@dataclass(frozen=True)
class Periods:
    """How often it looks, in seconds; 0: never."""

    reconcile_s: float = 30.0
    list_s: float = 30.0
    metrics_s: float = 60.0


class Runtime:
    """A live endpoint. `start` brings the first servers into service; `close` ends it."""

    def __init__(self, setup: Setup, models: Models, store: Store, provisioner: Provisioner, meter: Meter, sink: Sink,
                 clock: Clock, periods: Periods, watch: Watch) -> None:
        self.name = setup.name
        self.invocation_timeout_s = setup.settings.server.invocation_timeout
        self.models = models
        self.meter = meter
        self.draining = False
        self.failed: BaseException | None = None
        """What a policy raised, or a mistake of ours: nothing is decided any more."""
        self._setup = setup
        self._clock = clock
        self._store = store
        self._periods = periods
        self.machine = Machine(setup, setup.policies(), sink, self._perform, _released)
        self.fleet = Fleet(provisioner, setup.spec.max_instances, self._joined, self._lost, watch)
        limits = Limits(setup.settings.server.load_timeout, setup.spec.instance.disk_bytes)
        self.hands = Hands(clock, self.fleet, models, store, meter, limits, self.post, self._is_starting)
        self.keeper = Keeper(clock, models, store, self.fleet, self.hands, self.machine.table, self.post)
        self._serial = 0
        self._steps = 0
        self._timer: asyncio.TimerHandle | None = None
        self._routines: list[asyncio.Task[None]] = []

    # Life.

    async def start(self) -> None:
        """Take in the store's list and begin to start servers; `ready` becomes true when the first is in service."""
        await self.keeper.relist()
        self.fleet.set_desired(self._setup.desired)
        every = ((self._periods.reconcile_s, self.keeper.reconcile), (self._periods.list_s, self.keeper.relist),
                 (self._periods.metrics_s, self._publish))
        self._routines = [asyncio.create_task(self._routine(period_s, look), name=look.__name__)
                          for period_s, look in every if period_s]

    async def drain(self, timeout_s: float) -> int:
        """Accept nothing more and wait for what is in flight; returns how many requests were left at the end."""
        self.draining = True
        deadline_ns = self._clock.now_ns() + round(timeout_s * 1e9)
        while self.machine.in_flight and self._clock.now_ns() < deadline_ns:
            await asyncio.sleep(0.02)
        return len(self.machine.in_flight)

    async def close(self) -> None:
        """End everything; servers that it started too."""
        self.draining = True
        if self._timer:
            self._timer.cancel()
        for task in self._routines:
            task.cancel()
        await asyncio.gather(*self._routines, return_exceptions=True)
        await self.hands.close()
        await self.fleet.close()
        await self._store.close()

    # What the gateway uses (`mmesim.live.ports.Endpoint`).

    @property
    def ready(self) -> bool:
        """In service: at least one server, not draining, and able to decide."""
        return not self.draining and self.failed is None and len(self.machine.table.serving) > 0

    def begin(self, name: str) -> Ticket:
        """A request for this model has arrived; admission and routing are done at once."""
        number = self.models.numbers.get(name, NONE)
        ticket = Ticket(self._serial, number, name, self._clock.now_ns())
        self._serial += 1
        if number == NONE or name in self.models.hidden:
            ticket.failure, ticket.over, ticket.reason = Failure.NO_SUCH_MODEL, True, f"there is no model {name!r}"
        elif self.draining or self.failed is not None:
            ticket.failure, ticket.over = Failure.INSTANCE_LOST, True
            ticket.reason = "the endpoint is being shut down" if self.draining else self._why_failed()
        elif self.fleet.members and not len(self.machine.table.serving):
            ticket.parked = True  # a server is on its way
        else:
            self._arrive(ticket)
        return ticket

    async def wait(self, ticket: Ticket) -> None:
        """Until a held request may be sent, has failed, or its time ran out; it moves on when its server is lost."""
        deadline_ns = ticket.arrived_ns + round(self.invocation_timeout_s * 1e9)
        try:
            while ticket.held or ticket.parked or self._may_move_on(ticket):
                left_s = (deadline_ns - self._clock.now_ns()) / 1e9
                if left_s <= 0:
                    self._give_up(ticket)
                    return
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._let_go(ticket) if ticket.held else self._moved_on(ticket), left_s)
        except asyncio.CancelledError:
            self.end(ticket, Failure.TIMEOUT)
            raise
        self._explain(ticket)

    def holder(self, name: str) -> Server | None:
        """A server in service with a READY copy; asking is no request."""
        number = self.models.numbers.get(name, NONE)
        copies = self.machine.controller.endpoint.models[number].copies if number != NONE else ()
        return self.fleet.server(copies[0]) if copies else None

    def server(self, ticket: Ticket) -> Server:
        """Where it is sent."""
        return self.fleet.server(ticket.instance)

    def end(self, ticket: Ticket, failure: Failure = Failure.NONE) -> None:
        """It is over, once, and so for its caller: what became of its server meanwhile does not count."""
        if ticket.parked:  # between two servers the machine does not know it
            ticket.parked, ticket.over = False, True
        if not ticket.over:
            self._tell(lambda: self.machine.depart(ticket, failure, self._clock.now_ns()))
        now_ns = self._clock.now_ns()
        latency_ns, wait_ns = now_ns - ticket.arrived_ns, (ticket.sent_ns or now_ns) - ticket.arrived_ns
        overhead_ns = max(0, latency_ns - wait_ns - ticket.server_ns) if ticket.server_ns else 0
        self.meter.request(ticket.name, ticket.instance, ticket.tier, failure, latency_ns, overhead_ns, wait_ns)

    def broken(self, ticket: Ticket) -> None:
        """Its copy is taken away and counts as lost: the next request loads it anew."""
        where = (ticket.instance, ticket.model)
        state = self.machine.table.state(*where)
        if not ticket.over and state is Residency.READY and where not in self.hands.under_way():
            log.warning("%s in slot %d is broken: it is loaded anew when it is asked for", ticket.name, ticket.instance)
            self.hands.do(TakeAway(*where))
            self.post(ev.CopyLost(*where, True))

    def again(self, ticket: Ticket) -> Ticket:
        """The server did not answer it: find out what became of the server, then it arrives anew."""
        if not ticket.over:
            self._tell(lambda: self.machine.depart(ticket, Failure.INSTANCE_LOST, self._clock.now_ns()))
        fresh = Ticket(self._serial, ticket.model, ticket.name, ticket.arrived_ns, instance=ticket.instance,
                       attempt=ticket.attempt + 1, tier=ticket.tier)
        self._serial += 1
        if fresh.attempt > MAX_ATTEMPTS or self.draining:
            fresh.failure, fresh.over = Failure.INSTANCE_LOST, True
            fresh.reason = f"the server was lost {ticket.attempt} times under this request"
        else:
            fresh.parked = True
        return fresh

    def _may_move_on(self, ticket: Ticket) -> bool:
        """Whether a request whose server was lost before it was sent may arrive anew: also one that had just been let
        go, for whoever waits has not sent it yet."""
        return (ticket.failure is Failure.INSTANCE_LOST and ticket.instance != NONE
                and ticket.attempt < MAX_ATTEMPTS and not self.draining)

    async def _moved_on(self, ticket: Ticket) -> None:
        """A request without a server: what was its server is confirmed or lost, and then it arrives, as soon as one is
        in service or `SERVER_WAIT_S` have passed."""
        if ticket.parked:
            await self.fleet.confirm(ticket.instance)
        else:
            ticket.serial, ticket.attempt = self._serial, ticket.attempt + 1
            self._serial += 1
            ticket.failure, ticket.over, ticket.parked, ticket.sent_ns = Failure.NONE, False, True, 0
        with suppress(TimeoutError):
            async with asyncio.timeout(SERVER_WAIT_S):
                while not len(self.machine.table.serving) and not self.draining and self.failed is None:
                    await asyncio.sleep(SERVER_POLL_S)
        ticket.parked, ticket.instance = False, NONE
        self._arrive(ticket)

    async def _let_go(self, ticket: Ticket) -> None:
        """A held request: until the machine lets it go, which may have been before this began."""
        if not ticket.held:
            return
        released = asyncio.get_running_loop().create_future()
        ticket.on_release = lambda: released.done() or released.set_result(None)
        try:
            await released
        finally:
            ticket.on_release = None

    def _give_up(self, ticket: Ticket) -> None:
        """Its time ran out while it waited."""
        if not ticket.held:
            ticket.parked = False
            ticket.failure, ticket.over = Failure.INSTANCE_LOST, True
        else:
            self._tell(lambda: self.machine.depart(ticket, Failure.MODEL_NOT_READY, self._clock.now_ns()))
            ticket.failure = Failure.MODEL_NOT_READY
        ticket.reason = ticket.reason or f"not ready within {self.invocation_timeout_s:g} s"

    # Into the machine.

    def post(self, event: ev.Event) -> None:
        """Something has happened in the world."""
        if self.failed is None:
            self._tell(lambda: self.machine.post(event, self._clock.now_ns()))

    def _arrive(self, ticket: Ticket) -> None:
        if self.failed is None:
            self._tell(lambda: self.machine.arrive(ticket, self._clock.now_ns()))
        if self.failed is not None and not ticket.over:
            ticket.failure, ticket.over, ticket.reason = Failure.INSTANCE_LOST, True, self._why_failed()
        self._explain(ticket)

    def _explain(self, ticket: Ticket) -> None:
        """Why its model could not be loaded."""
        if ticket.failure is Failure.LOAD_FAILED:
            ticket.reason = self.models.errors.get(ticket.model) or self._too_large(ticket.model)

    def _too_large(self, model: int) -> str:
        """Why no server ever takes this model; "": not for its size."""
        spec, room = self.models.specs[model], self._setup.spec.instance
        sizes = (("device memory", spec.gpu_bytes, room.gpu_bytes), ("host memory", spec.host_bytes, room.host_bytes),
                 ("disk", spec.disk_bytes, room.disk_bytes))
        return "; ".join(f"it is expected to take {format_bytes(takes)} of {what}, and a server has {format_bytes(has)}"
                         for what, takes, has in sizes if takes > has)

    def _tell(self, told: Callable[[], None]) -> None:
        """One input; what fails while it is worked off is a mistake in a policy or of ours, and ends the deciding."""
        try:
            told()
        except Exception as error:
            log.critical("the controller failed: nothing is decided any more", exc_info=error)
            self.failed = self.failed or error
            for ticket in self.machine.stop():
                ticket.reason = self._why_failed()
                _released(ticket)
        if self.machine.steps != self._steps:
            self._steps = self.machine.steps
            self._set_timer()

    def _why_failed(self) -> str:
        return f"a policy failed: {self.failed}"

    def _set_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        due_ns = self.machine.next_deadline_ns()
        if due_ns is not None and self.failed is None:
            wait_s = max(0, due_ns - self._clock.now_ns()) / 1e9
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._tick, due_ns)

    def _tick(self, due_ns: int) -> None:
        if self._clock.now_ns() < due_ns:
            self._set_timer()
        else:
            self.post(ev.Tick())

    # Out of the machine.

    def _perform(self, action: act.Action) -> None:
        if isinstance(action, act.SetDesiredInstances):
            log.info("desired instances: %d (%s)", action.count, action.reason)
            self.fleet.set_desired(action.count)
        elif isinstance(action, act.TerminateInstance):
            log.info("slot %d ends: %s", action.instance, action.reason)
            self.fleet.stop(action.instance)
        elif not isinstance(action, act.DrainInstance):
            self.hands.do(action)  # type: ignore[arg-type]

    def _lost(self, slot: int, reason: str) -> None:
        """A server is gone: held requests move on, those in flight find out by themselves."""
        self.hands.drop(slot)
        lost: list[Ticket] = []
        self._tell(lambda: lost.extend(self.machine.lose(slot, reason, self._clock.now_ns())))
        for ticket in lost:
            _released(ticket)

    async def _joined(self, slot: int) -> None:
        """A server is ready: it comes into service with what it holds."""
        found = await self.keeper.look(slot)
        self.fleet.members[slot].in_service = True
        self.post(ev.InstanceJoined(slot))
        await self.keeper.tidy(slot, self.keeper.settle(slot, found))

    # Regular looks.

    async def _routine(self, period_s: float, look: Callable[[], Awaitable[Any]]) -> None:
        while True:
            await asyncio.sleep(period_s)
            try:
                await look()
            except (ServerDown, FetchFailed) as error:
                log.warning("%s: %s", look.__name__, error)
            except Exception:
                log.exception("%s failed; it will be tried again", look.__name__)

    async def _publish(self) -> None:
        """One period of metrics, as autoscaling sees them."""
        for slot in self.fleet.in_service:
            with suppress(ServerDown):
                self.meter.levels(slot, await self.fleet.server(slot).scrape())
        now_ns = self._clock.now_ns()
        ages_ns = [now_ns - ticket.arrived_ns for ticket in self.machine.in_flight.values()]
        self.post(ev.MetricsPublished(now_ns, dict(self.meter.period(now_ns, ages_ns))))

    def _is_starting(self, model: int) -> bool:
        return any(model in instance.cold for instance in self.machine.controller.endpoint.fleet.values())


def _released(ticket: Ticket) -> None:
    """Wake up whoever waits for this request."""
    if ticket.on_release is not None:
        ticket.on_release()
