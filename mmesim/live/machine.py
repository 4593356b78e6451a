"""Controller and front door joined, without clock, I/O or thread: the same inputs give the same outputs.

Live mode drives it with the clock and real servers and writes down what goes in and comes out; replay drives a new one
with what was written. Inputs are `arrive`, `depart`, `lose` and `post`; everything else follows from them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from mmesim.core import actions as act
from mmesim.core import events as ev
from mmesim.core.controller import EndpointController
from mmesim.core.decisions import Decision
from mmesim.core.policy import Policies
from mmesim.core.residency import ResidencyTable
from mmesim.core.types import NONE, Failure
from mmesim.dataplane.api import Stop
from mmesim.dataplane.door import FrontDoor
from mmesim.live.ports import Ticket
from mmesim.live.setup import Setup
from mmesim.scenario.build import route_seed

DERIVED = (ev.ModelMissed, ev.CopyWished, ev.CopyIdle, ev.InstanceDrained, ev.InstanceLost)
"""Events that the machine itself brings about; all others are inputs."""


class Sink(Protocol):
    """Who writes down what goes in and comes out, in this order. Numbers stand for models and instances."""

    def arrived(self, now_ns: int, serial: int, model: int) -> None:
        """Input."""

    def sent(self, now_ns: int, serial: int, instance: int, tier: int, held: bool) -> None:
        """Output: the request was counted to this copy."""

    def refused(self, now_ns: int, serial: int, failure: int) -> None:
        """Output: it was not."""

    def departed(self, now_ns: int, serial: int, failure: int) -> None:
        """Input: a request that was sent is over."""

    def lost(self, now_ns: int, instance: int, reason: str) -> None:
        """Input: the instance is gone, with all requests there."""

    def step(self, now_ns: int, event: ev.Event, actions: tuple[act.Action, ...],
             decisions: tuple[Decision, ...] = ()) -> None:
        """Input, unless the event is one of `DERIVED`, and output."""


class Nobody:
    """A sink that writes nothing down."""

    def _nothing(self, *_: object) -> None:
        pass

    arrived = sent = refused = departed = lost = step = _nothing


class Machine:
    """One endpoint. `perform` gets each action of the controller that the world must carry out, in order, and must not
    answer at once; `release` gets each held ticket that may go on now, or has failed."""

    def __init__(self, setup: Setup, policies: Policies, sink: Sink, perform: Callable[[act.Action], None],
                 release: Callable[[Ticket], None]) -> None:
        self.table = ResidencyTable(len(setup.models), setup.spec.max_instances)
        self.table.model.exists[:] = 0
        self.controller = EndpointController(setup.spec, setup.models, policies, self.table, desired=setup.desired,
                                             seed=setup.seed)
        self.door = FrontDoor(self.table, policies.routing, policies.admission, route_seed(setup.seed))
        self.in_flight: dict[int, Ticket] = {}
        """Sent and not over, by serial."""
        self.now_ns = 0
        """Time of the last input."""
        self.steps = 0
        """Of the controller, so far."""
        self._sink = sink
        self._perform = perform
        self._release = release
        self._held: dict[int, deque[Ticket]] = {}
        """By row of the copy, in order of arrival."""
        self._inbox: deque[ev.Event] = deque()
        self._stepping = self._stopped = False
        self._pending: Ticket | None = None
        self._own: dict[type, Callable[..., None]] = {
            act.Dispatch: self._dispatch, act.FailWaiters: self._fail_waiters, act.Reject: self._reject,
            act.Stall: self._stall, act.TerminateInstance: self._terminate}

    # Inputs.

    def arrive(self, ticket: Ticket, now_ns: int) -> None:
        """A request: it is sent, held or refused."""
        assert not self._stepping, "inputs come one after another: a replay could not tell otherwise"
        self.now_ns = now_ns
        self._sink.arrived(now_ns, ticket.serial, ticket.model)
        if not self.door.admits(ticket.model, now_ns):
            self._refuse(ticket, Failure.THROTTLED)
            return
        wished, chosen = False, NONE
        while True:
            routed = self.door.route(ticket.model, ticket.serial, now_ns, wished, chosen)
            if routed.failure is not Failure.NONE:
                self._refuse(ticket, routed.failure)
                return
            if routed.stop is None:
                break
            wished, chosen = wished or routed.stop is Stop.WISH, routed.instance
            self._ask(ticket, ev.CopyWished(ticket.model) if routed.stop is Stop.WISH
                      else ev.ModelMissed(ticket.model, chosen))
            if ticket.failure is not Failure.NONE:
                return
        self._send(ticket, routed.instance)

    def depart(self, ticket: Ticket, failure: Failure, now_ns: int) -> None:
        """A request that was sent is over; nothing when it is already."""
        if ticket.over:
            return
        assert not self._stepping, f"{ticket} ends within another input"
        self.now_ns = now_ns
        self._sink.departed(now_ns, ticket.serial, failure)
        if ticket.held:
            self._held[self.table.row(ticket.instance, ticket.model)].remove(ticket)
        self._end(ticket, failure)
        self._work()

    def lose(self, instance: int, reason: str, now_ns: int) -> list[Ticket]:
        """The instance is gone. Returns the tickets that were there, held ones too, as failed INSTANCE_LOST."""
        assert not self._stepping, f"instance {instance} is lost within another input"
        self.now_ns = now_ns
        self._sink.lost(now_ns, instance, reason)
        tickets = self._clear(instance)
        self._inbox.append(ev.InstanceLost(instance, reason))
        self._work()
        return tickets

    def post(self, event: ev.Event, now_ns: int) -> None:
        """Something has happened in the world."""
        assert not isinstance(event, DERIVED) and not self._stepping, f"{event} is not an input (now)"
        self.now_ns = now_ns
        self._inbox.append(event)
        self._work()

    def stop(self) -> list[Ticket]:
        """The controller has failed: it gets no event any more, and nothing more is written, for no replay could tell
        what comes of it. Returns the held tickets, failed; those that were sent may still depart."""
        self._stopped, self._sink, self._pending = True, Nobody(), None
        self._inbox.clear()
        tickets = [ticket for held in self._held.values() for ticket in held]
        self._held.clear()
        for ticket in tickets:
            self._end(ticket, Failure.INSTANCE_LOST)
        return tickets

    def next_deadline_ns(self) -> int | None:
        """When a `Tick` is due."""
        return self.controller.next_deadline_ns()

    def check(self) -> None:
        """Every invariant of the control state and of the counts; an assertion fails on our bug."""
        self.controller.check()
        assert self.door.outstanding == len(self.in_flight) == int(self.table.instance.outstanding.sum())
        assert int(self.table.copy.outstanding.sum()) == len(self.in_flight)

    # What follows from them.

    def _ask(self, ticket: Ticket, event: ev.Event) -> None:
        self._pending = ticket
        self._inbox.append(event)
        self._work()
        self._pending = None

    def _work(self) -> None:
        """Hand events to the controller, one after another, until none is left."""
        if self._stepping or self._stopped:
            return
        self._stepping = True
        try:
            while self._inbox:
                event = self._inbox.popleft()
                actions = self.controller.step(event, self.now_ns)
                self.steps += 1
                self._sink.step(self.now_ns, event, actions, self.controller.decisions)
                for action in actions:
                    self._own.get(type(action), self._perform)(action)
        finally:
            self._stepping = False

    def _send(self, ticket: Ticket, instance: int) -> None:
        ticket.instance = instance
        ticket.tier, ticket.held = self.door.send(instance, ticket.model, self.now_ns)
        self.in_flight[ticket.serial] = ticket
        self._sink.sent(self.now_ns, ticket.serial, instance, ticket.tier, ticket.held)
        if ticket.held:
            self._held.setdefault(self.table.row(instance, ticket.model), deque()).append(ticket)
        else:
            ticket.sent_ns = self.now_ns

    def _refuse(self, ticket: Ticket, failure: Failure) -> None:
        ticket.failure, ticket.over = failure, True
        self._sink.refused(self.now_ns, ticket.serial, failure)

    def _end(self, ticket: Ticket, failure: Failure) -> None:
        ticket.failure, ticket.over, ticket.held = failure, True, False
        del self.in_flight[ticket.serial]
        idle, drained = self.door.leave(ticket.instance, ticket.model)
        if idle:
            self._inbox.append(ev.CopyIdle(ticket.instance, ticket.model))
        if drained:
            self._inbox.append(ev.InstanceDrained(ticket.instance))

    def _clear(self, instance: int) -> list[Ticket]:
        """All requests at an instance end with it, without the events of idle copies."""
        tickets = [ticket for ticket in self.in_flight.values() if ticket.instance == instance]
        for ticket in tickets:
            if ticket.held:
                self._held[self.table.row(instance, ticket.model)].remove(ticket)
            ticket.failure, ticket.over, ticket.held = Failure.INSTANCE_LOST, True, False
            del self.in_flight[ticket.serial]
            self.door.leave(instance, ticket.model)
        return tickets

    # Actions on requests.

    def _dispatch(self, action: act.Dispatch) -> None:
        if not self.table.instance.stalled[action.instance]:
            self._let_go(action.instance, action.model)

    def _let_go(self, instance: int, model: int) -> None:
        for ticket in self._held.pop(self.table.row(instance, model), ()):
            ticket.held, ticket.sent_ns = False, self.now_ns
            self._release(ticket)

    def _fail_waiters(self, action: act.FailWaiters) -> None:
        for ticket in self._held.pop(self.table.row(action.instance, action.model), ()):
            self._end(ticket, action.failure)
            self._release(ticket)

    def _reject(self, action: act.Reject) -> None:
        assert self._pending is not None
        self._refuse(self._pending, action.failure)

    def _stall(self, action: act.Stall) -> None:
        if not action.stalled:
            for model in list(self.controller.endpoint.fleet[action.instance].ready):
                self._let_go(action.instance, model)

    def _terminate(self, action: act.TerminateInstance) -> None:
        for ticket in self._clear(action.instance):
            self._release(ticket)
        self._perform(action)
