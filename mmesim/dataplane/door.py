"""The data plane's first steps, one request at a time in plain Python: admission, choice of a copy, the counts that
policies read. Points 1 to 4 of the contract in :mod:`mmesim.dataplane.api`, for those who serve real requests.

It decides nothing by itself and keeps no request: whoever drives it holds those that wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mmesim.core.answers import whole, yes_or_no
from mmesim.core.choice import Choice, choice
from mmesim.core.lifecycle import Residency
from mmesim.core.policy import AdmissionPolicy, RoutingPolicy
from mmesim.core.residency import ResidencyTable, decayed
from mmesim.core.types import NONE, Failure, Tier
from mmesim.dataplane.api import ONE_Q16, Stop, draw


class Routed(NamedTuple):
    """Where a request goes, or what has to happen first."""

    instance: int = NONE
    """The copy's (or of a MISS of a blind router, where it is missed)."""
    failure: Failure = Failure.NONE
    stop: Stop | None = None
    """MISS or WISH: the controller acts, then the request is routed again."""


class FrontDoor:
    """Routes requests by the residency table, and counts them there."""

    def __init__(self, table: ResidencyTable, routing: RoutingPolicy, admission: AdmissionPolicy,
                 route_seed: int) -> None:
        self.table = table
        self.routing = routing
        self.admission = admission
        self.route_seed = route_seed
        self.outstanding = 0
        """Requests sent to a copy and not finished."""

    def admits(self, model: int, now_ns: int) -> bool:
        """What the admission policy says of a request."""
        if self.admission.always:
            return True
        table = self.table
        return yes_or_no(self.admission, "admit", self.admission.admit(
            table.model.outstanding.item(model), self.outstanding, table.model.n_ready.item(model), len(table.serving),
            now_ns))

    def route(self, model: int, serial: int, now_ns: int, wished: bool, chosen: int = NONE) -> Routed:
        """One look. `wished`: this request has made the router wish for a copy already. `chosen`: what a blind router
        has chosen for it before."""
        if self.routing.blind:
            return self._route_blind(model, serial, now_ns, chosen)
        table = self.table
        n = table.model.n_ready.item(model)
        if n:
            instance = table.ready.item(model, 0) if n == 1 else \
                self._best(model, serial, table.ready[model, :n].tolist(), now_ns)
            if not wished and self._wishes(instance, model, now_ns):
                return Routed(stop=Stop.WISH)
            return Routed(instance)
        if (joining := table.model.joining.item(model)) >= 0:
            return Routed(joining)
        if now_ns < table.model.failed_until_ns.item(model):
            return Routed(failure=Failure.LOAD_FAILED)
        return Routed(stop=Stop.MISS) if len(table.serving) else Routed(failure=Failure.INSTANCE_LOST)

    def _route_blind(self, model: int, serial: int, now_ns: int, chosen: int) -> Routed:
        table = self.table
        if chosen == NONE:
            if not len(table.serving):
                return Routed(failure=Failure.INSTANCE_LOST)
            chosen = self._best(model, serial, table.serving.tolist(), now_ns)
        row = table.row(chosen, model)
        if table.copy.state.item(row) == Residency.READY or table.copy.cold.item(row) == 1:
            return Routed(chosen)
        if now_ns < table.model.failed_until_ns.item(model):
            return Routed(chosen, Failure.LOAD_FAILED)
        return Routed(chosen, stop=Stop.MISS)

    def _wishes(self, instance: int, model: int, now_ns: int) -> bool:
        """Whether the chosen copy is so busy that the router wants one more."""
        spill, table = self.routing.spill_outstanding, self.table
        return (spill > 0 and table.copy.outstanding.item(table.row(instance, model)) >= spill
                and table.model.n_copies.item(model) < len(table.serving) and table.model.joining.item(model) == NONE
                and now_ns >= table.model.wish_after_ns.item(model))

    def _best(self, model: int, serial: int, instances: Sequence[int], now_ns: int) -> int:
        """The instance with the lowest score, the lowest number among equals."""
        scores = [whole(self.routing, "score", self.routing.score(offered, now_ns))
                  for offered in self._offers(model, serial, instances, now_ns)]
        return instances[scores.index(min(scores))]

    def _offers(self, model: int, serial: int, instances: Sequence[int], now_ns: int) -> list[Choice]:
        table, seed, n = self.table, self.route_seed, len(instances)
        of_request = draw(seed, serial, NONE)
        return [Choice(*map(int, choice(
            table.copies, table.models, table.instances, table.row(instance, model), model, instance, position, n,
            draw(seed, serial, instance), of_request, self.outstanding, len(table.serving), now_ns)))
            for position, instance in enumerate(instances)]

    def send(self, instance: int, model: int, now_ns: int) -> tuple[Tier, bool]:
        """Count a request to a copy: (where the model's bytes are, whether it must be held)."""
        table = self.table
        copy, known, row = table.copy, table.model, table.row(instance, model)
        self._count(instance, model, row, 1)
        copy.last_use_ns[row] = known.last_use_ns[model] = now_ns
        copy.uses[row] += 1
        known.uses[model] += 1
        count, at_ns = decayed(copy.rate_q16.item(row), copy.rate_at_ns.item(row), now_ns)
        copy.rate_q16[row], copy.rate_at_ns[row] = count + ONE_Q16, at_ns
        if copy.state.item(row) == Residency.READY:
            return Tier.GPU, table.instance.stalled.item(instance) > 0
        return Tier(copy.tier.item(row)), True

    def leave(self, instance: int, model: int) -> tuple[bool, bool]:
        """A request sent there is over: (whether that makes a watched copy idle, a draining instance)."""
        table, row = self.table, self.table.row(instance, model)
        self._count(instance, model, row, -1)
        idle = table.copy.watch.item(row) == 1 and table.copy.outstanding.item(row) == 0
        drained = table.instance.draining.item(instance) == 1 and table.instance.outstanding.item(instance) == 0
        return idle, drained

    def _count(self, instance: int, model: int, row: int, by: int) -> None:
        table = self.table
        table.copy.outstanding[row] += by
        table.model.outstanding[model] += by
        table.instance.outstanding[instance] += by
        table.instance.backlog_ns[instance] += by * table.model.service_ns.item(model)
        self.outstanding += by
