"""The endpoint controller: events in, actions out. It has no clock and does nothing itself.

``step(event, now_ns)`` changes the control state and the residency table and returns what is to be done, in order. The
same controller runs under the simulator, under a replayed journal and in front of real servers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush

import numpy as np

from mmesim.core import events as ev
from mmesim.core.actions import Action, Reject
from mmesim.core.answers import several, whole_or_none
from mmesim.core.coldstart import ColdPath
from mmesim.core.decisions import Decision
from mmesim.core.endpoint import Endpoint
from mmesim.core.found import Reconciled
from mmesim.core.instance import ColdStart, InstanceState
from mmesim.core.lifecycle import Residency
from mmesim.core.memory import Memory
from mmesim.core.policy import Policies, Prewarm, WrongAnswer, every
from mmesim.core.residency import ResidencyTable
from mmesim.core.scaling import Scaling
from mmesim.core.streams import stream
from mmesim.core.types import NONE, EndpointSpec, Failure, ModelSpec
from mmesim.units import ns

WISH_PAUSE_NS = ns(10.0)
"""How long the router does not repeat a wish for another copy that could not be granted (assumed)."""

_OF_AN_INSTANCE = {ev.DownloadFinished, ev.DownloadFailed, ev.LoadFinished, ev.LoadFailed, ev.UnloadFinished,
                   ev.CopyIdle, ev.InstanceLost, ev.InstanceDrained, ev.CopyFound, ev.CopyLost}
"""Late news of an instance that has ended meanwhile is ignored."""


class EndpointController:
    """One endpoint: its models, its instances, its policies."""

    def __init__(self, spec: EndpointSpec, models: Sequence[ModelSpec], policies: Policies, table: ResidencyTable, *,
                 desired: int, seed: int = 0) -> None:
        self.endpoint = Endpoint(spec, models, policies, table)
        self.memory = Memory(self.endpoint)
        self.cold = ColdPath(self.endpoint, self.memory)
        self.found = Reconciled(self.endpoint, self.memory)
        self.scaling = Scaling(self.endpoint, desired)
        self._deadlines: list[tuple[int, int, int, ColdStart]] = []
        self._planners: dict[str, int | None] = {"prewarm": None, "placement": None}
        """When each policy that plans ahead is asked next."""
        self._handlers: dict[type, Callable[..., None]] = {
            ev.ModelMissed: self._model_missed, ev.CopyWished: self._copy_wished,
            ev.DownloadFinished: self._download_finished, ev.DownloadFailed: self._download_failed,
            ev.LoadFinished: self._load_finished, ev.LoadFailed: self._load_failed,
            ev.UnloadFinished: self._unload_finished, ev.CopyIdle: self._copy_idle,
            ev.InstanceJoined: self._instance_joined, ev.InstanceLost: self._instance_lost,
            ev.InstanceDrained: self._instance_drained, ev.ModelAdded: self._model_added,
            ev.ModelRemoved: self._model_removed, ev.ModelDescribed: self._model_described,
            ev.CopyFound: self._copy_found, ev.CopyLost: self._copy_lost,
            ev.MetricsPublished: self._metrics_published, ev.Tick: self._tick,
        }
        for names, policy in every(policies):
            policy.rng = stream(seed, "policy", *names)

    def step(self, event: ev.Event, now_ns: int) -> tuple[Action, ...]:
        """Take in what has happened at `now_ns`; returns what is to be done, in order."""
        self.endpoint.actions = []
        if self.endpoint.decisions is not None:
            self.endpoint.decisions = []
        kind = type(event)
        if kind not in _OF_AN_INSTANCE or event.instance in self.endpoint.fleet:  # type: ignore[union-attr]
            self._handlers[kind](event, now_ns)
        return tuple(self.endpoint.actions)

    def explain_from_now_on(self) -> None:
        """Keep the decisions of each step for `decisions`."""
        self.endpoint.decisions = []

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """How policies came to the actions of the last step; empty unless asked for."""
        return tuple(self.endpoint.decisions or ())

    def next_deadline_ns(self) -> int | None:
        """When a `Tick` is due, or None."""
        fleet, deadlines = self.endpoint.fleet, self._deadlines
        while deadlines:
            _, index, model, cold = deadlines[0]
            if index in fleet and fleet[index].cold.get(model) is cold:
                break
            heappop(deadlines)
        due_ns = deadlines[0][0] if deadlines else None
        others = (self.endpoint.timers.next_ns(), *self._planners.values(), *self.scaling.drain_deadlines_ns.values())
        for other_ns in others:
            if other_ns is not None and (due_ns is None or other_ns < due_ns):
                due_ns = other_ns
        return due_ns

    def check(self) -> None:
        """All invariants of the control state; an assertion fails on our bug."""
        table = self.endpoint.table
        assert sorted(i for i, s in self.endpoint.fleet.items() if not s.draining) == table.serving.tolist()
        for instance in self.endpoint.fleet.values():
            for ledger in (instance.gpu, instance.host, instance.disk):
                ledger.check()
            states = table.copy.state[instance.index * table.n_models:(instance.index + 1) * table.n_models]
            for state, listed in ((Residency.READY, instance.ready), (Residency.UNLOADING, instance.unloading)):
                assert sorted(listed) == (states == state).nonzero()[0].tolist(), f"{state.name} lists differ"
            assert instance.loading == int((states == Residency.LOADING).sum())
            assert instance.downloading == int((states == Residency.DOWNLOADING).sum())

    def _model_missed(self, event: ev.ModelMissed, now_ns: int) -> None:
        where = [self.endpoint.fleet[event.instance]] if event.instance >= 0 else self.endpoint.instances
        failure = self._bring_up(event.model, where, now_ns)
        if failure is not Failure.NONE:
            self.endpoint.do(Reject(event.model, failure))

    def _bring_up(self, model: int, where: list[InstanceState], now_ns: int) -> Failure:
        """Start a copy on one of these instances."""
        if not where:
            return Failure.INSTANCE_LOST
        if not self.endpoint.table.model.exists[model]:
            where = [instance for instance in where if instance.holds(model)]
            if not where:
                return Failure.NO_SUCH_MODEL
        policy, offered = self.endpoint.policies.placement, tuple(instance.sight for instance in where)
        chosen = whole_or_none(policy, "place", policy.place(self.endpoint.models[model], offered, now_ns))
        if chosen is None:
            return Failure.THROTTLED
        if all(chosen != instance.index for instance in where):
            raise WrongAnswer(f"placement policy named instance {chosen!r}, which was not offered to it")
        self._start_cold(self.endpoint.fleet[chosen], model, now_ns)
        return Failure.NONE

    def _start_cold(self, instance: InstanceState, model: int, now_ns: int) -> None:
        self.cold.start(instance, model, now_ns)
        cold = instance.cold.get(model)
        if cold is not None:
            heappush(self._deadlines, (cold.deadline_ns, instance.index, model, cold))

    def _copy_wished(self, event: ev.CopyWished, now_ns: int) -> None:
        model = event.model
        where = [i for i in self.endpoint.instances if not i.is_ready(model) and model not in i.cold]
        if self._bring_up(model, where, now_ns) is not Failure.NONE:
            self.endpoint.table.model.wish_after_ns[model] = now_ns + WISH_PAUSE_NS

    def _download_finished(self, event: ev.DownloadFinished, now_ns: int) -> None:
        instance = self.endpoint.fleet[event.instance]
        self.cold.downloaded(instance, event.model, event.extract_ns, event.disk_bytes, now_ns)
        self.cold.pump(instance, now_ns)

    def _download_failed(self, event: ev.DownloadFailed, now_ns: int) -> None:
        instance = self.endpoint.fleet[event.instance]
        self.cold.download_failed(instance, event.model, now_ns)
        self.cold.pump(instance, now_ns)

    def _load_finished(self, event: ev.LoadFinished, now_ns: int) -> None:
        instance = self.endpoint.fleet[event.instance]
        self.cold.loaded(instance, event.model, event.gpu_bytes, event.host_bytes, now_ns)
        self.cold.pump(instance, now_ns)

    def _load_failed(self, event: ev.LoadFailed, now_ns: int) -> None:
        instance = self.endpoint.fleet[event.instance]
        self.cold.load_failed(instance, event.model, event.out_of_memory, now_ns)
        self.cold.pump(instance, now_ns)

    def _unload_finished(self, event: ev.UnloadFinished, now_ns: int) -> None:
        instance = self.endpoint.fleet[event.instance]
        self.memory.unloaded(instance, event.model)
        if not self.memory.keeps_files and event.model not in instance.cold:
            self.memory.delete(instance, event.model, "not kept on disk", now_ns)
        self.cold.pump(instance, now_ns)

    def _copy_idle(self, event: ev.CopyIdle, now_ns: int) -> None:
        instance = self.endpoint.fleet[event.instance]
        table = self.endpoint.table
        row = table.row(event.instance, event.model)
        idle = event.model in instance.ready and table.copy.outstanding[row] == 0
        if idle and not self.endpoint.spec.model_cache:
            self.memory.unload(instance, event.model, "model cache disabled", now_ns)
        else:
            table.copy.watch[row] = 0
            self.memory.expire(instance, event.model, now_ns)
        self.cold.pump(instance, now_ns)

    def _instance_joined(self, event: ev.InstanceJoined, now_ns: int) -> None:
        endpoint = self.endpoint
        endpoint.fleet[event.instance] = InstanceState(event.instance, event.zone, now_ns, endpoint.spec.instance,
                                                       endpoint.table)
        endpoint.table.instance.zone[event.instance] = event.zone
        endpoint.table.set_serving(event.instance, True)
        for planner in self._planners:
            self._plan(planner, now_ns)

    def _instance_lost(self, event: ev.InstanceLost, now_ns: int) -> None:
        self.scaling.forget(self.endpoint.fleet[event.instance], now_ns)

    def _instance_drained(self, event: ev.InstanceDrained, now_ns: int) -> None:
        self.scaling.terminate(self.endpoint.fleet[event.instance], "drained", now_ns)

    def _model_added(self, event: ev.ModelAdded, now_ns: int) -> None:
        self.endpoint.table.model.exists[event.model] = 1

    def _model_removed(self, event: ev.ModelRemoved, now_ns: int) -> None:
        self.endpoint.table.model.exists[event.model] = 0

    def _model_described(self, event: ev.ModelDescribed, now_ns: int) -> None:
        self.endpoint.describe(event.model, event.spec)
        self.memory.describe(event.model, event.spec)

    def _copy_found(self, event: ev.CopyFound, now_ns: int) -> None:
        self.found.take_in(self.endpoint.fleet[event.instance], event, now_ns)

    def _copy_lost(self, event: ev.CopyLost, now_ns: int) -> None:
        instance = self.endpoint.fleet[event.instance]
        self.found.write_off(instance, event.model, event.on_disk, now_ns)
        self.cold.pump(instance, now_ns)

    def _metrics_published(self, event: ev.MetricsPublished, now_ns: int) -> None:
        self.scaling.metrics.publish(event.period_end_ns, event.values)
        self.scaling.decide(now_ns)

    def _tick(self, event: ev.Tick, now_ns: int) -> None:
        for instance in self.scaling.overdue(now_ns):
            self.scaling.terminate(instance, "drain timed out", now_ns)
        while self._deadlines and self._deadlines[0][0] <= now_ns:
            _, index, model, cold = heappop(self._deadlines)
            known = self.endpoint.fleet.get(index)
            if known is not None and known.cold.get(model) is cold:
                self.cold.give_up(known, model, now_ns)
        for index, model in self.endpoint.timers.take(now_ns):
            if (known := self.endpoint.fleet.get(index)) is None:
                continue
            if model != NONE:
                self.memory.expire(known, model, now_ns)
            self.cold.pump(known, now_ns)
        for planner, due_ns in self._planners.items():
            if due_ns is not None and due_ns <= now_ns:
                self._plan(planner, now_ns)

    def _plan(self, planner: str, now_ns: int) -> None:
        """Ask the policy that plans ahead and do what it says."""
        policies, sight = self.endpoint.policies, self.endpoint.sight
        policy = policies.prewarm if planner == "prewarm" else policies.placement
        self._planners[planner] = now_ns + ns(policy.period_s) if policy.period_s > 0 else None
        decisions: Iterator[Prewarm] = iter(())
        if planner == "prewarm":
            decisions = several(policy, "plan", policies.prewarm.plan(sight, now_ns), Prewarm)
        elif policy.period_s > 0:
            decisions = several(policy, "rearrange", policies.placement.rearrange(sight, now_ns), Prewarm)
        for decision in decisions:
            self._carry_out(decision, f"{planner} policy", now_ns)

    def _carry_out(self, decision: Prewarm, whose: str, now_ns: int) -> None:
        """Load or unload, unless that is done or under way; a busy copy stays."""
        endpoint, model = self.endpoint, decision.model
        if not isinstance(model, int | np.integer) or not 0 <= model < len(endpoint.models):
            raise WrongAnswer(f"{whose} named model {model!r}, which does not exist")
        serving = endpoint.instances
        if decision.instance is not None:
            serving = [instance for instance in serving if instance.index == decision.instance]
            if not serving:
                raise WrongAnswer(f"{whose} named instance {decision.instance!r}, which is not serving")
        if decision.load:
            where = [one for one in serving if not one.is_ready(model) and model not in one.cold]
            if where:
                self._bring_up(model, where, now_ns)
            return
        if decision.instance is None:
            raise WrongAnswer(f"{whose} unloads model {model} without saying where")
        row = endpoint.table.row(decision.instance, model)
        if serving[0].is_ready(model) and endpoint.table.copy.outstanding[row] == 0 and endpoint.evictable[model]:
            self.memory.unload(serving[0], model, whose, now_ns)
