"""A small world round a `Machine`, without servers: seeded delays, failures, losses; for tests of live mode.

It does what the live runtime does: answers each action that starts work with one event, later; drops answers of an
instance that was lost meanwhile; ends requests; and asks for a `Tick` when one is due.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

import numpy as np

from mmesim.core import actions as act
from mmesim.core import events as ev
from mmesim.core.lifecycle import Residency
from mmesim.core.streams import stream
from mmesim.core.types import Failure, InstanceSpec, ModelSpec
from mmesim.journal.text import Lines
from mmesim.live.machine import Machine, Sink
from mmesim.live.ports import Ticket
from mmesim.live.setup import Setup
from mmesim.scenario.build import endpoint_spec
from mmesim.scenario.endpoint import Endpoint
from mmesim.units import ns

MB = 1 << 20
UNKNOWN = ModelSpec("", 0, 0, 0, 0)
"""In the place of a model that is described later."""


@dataclass(frozen=True)
class Trouble:
    """How often things go wrong, as probabilities, or as rates per second."""

    download_fails: float = 0.0
    load_fails: float = 0.0
    out_of_memory: float = 0.0
    sizes_off: float = 0.0
    """What a load reports differs from what is expected by up to this share."""
    lost_per_s: float = 0.0
    found_per_s: float = 0.0
    copy_lost_per_s: float = 0.0
    described_per_s: float = 0.0
    vanish_per_s: float = 0.0
    """A model's archive is deleted, and comes back later."""


@dataclass(frozen=True)
class Plan:
    """What happens."""

    seed: int = 1
    requests: int = 400
    rate_rps: float = 40.0
    service_s: float = 0.02
    load_s: float = 0.3
    download_s: float = 0.5
    unload_s: float = 0.05
    timeout_s: float = 5.0
    zipf: float = 0.9
    trouble: Trouble = field(default_factory=Trouble)


def models(n: int, seed: int = 0, *, gpu_mb: int = 100, pinned: int = 0) -> tuple[ModelSpec, ...]:
    """Models of various sizes."""
    rng = stream(seed, "models")
    sizes = [int(size) * MB for size in rng.integers(gpu_mb // 2, 2 * gpu_mb, n)]
    return tuple(ModelSpec(f"model-{i:03}", size, size // 10, size // 2, size, "python" if i % 3 else "onnx",
                           (i % 3 == 0) * 20 * MB, i < pinned, 0.3, 0.8 + i / 100, 0.02)
                 for i, size in enumerate(sizes))


def setup(settings: dict[str, Any], known: tuple[ModelSpec, ...], *, seed: int = 7, later: int = 0,
          gpu_mb: int = 800, host_mb: int = 4000, disk_mb: int = 4000) -> Setup:
    """An endpoint of these models; `later`: so many of them are described only when the world begins."""
    endpoint = Endpoint.model_validate(settings)
    spec = endpoint_spec(endpoint, InstanceSpec(gpu_mb * MB, host_mb * MB, disk_mb * MB))
    named = known[:len(known) - later] + (UNKNOWN,) * later
    return Setup("small", seed, spec, endpoint, Path(), named, endpoint.instances.initial)


class World:
    """Drives one machine through a plan."""

    def __init__(self, made_of: Setup, known: tuple[ModelSpec, ...], plan: Plan, sink: Sink,
                 check: bool = True) -> None:
        self.plan = plan
        self.known = known
        self.made_of = made_of
        self.machine = Machine(made_of, made_of.policies(), sink, self._perform, self._released)
        self.now_ns = 1
        self.tickets: list[Ticket] = []
        self._check = check
        self._rng = {name: stream(plan.seed, "world", name) for name in ("arrivals", "times", "trouble")}
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._n = 0
        self._generation: dict[int, int] = {}
        self._here: set[int] = set()
        self._desired = made_of.desired
        self._quiet = False
        weights = 1.0 / np.arange(1, len(known) + 1) ** plan.zipf
        self._popularity = weights / weights.sum()

    def run(self) -> World:
        """Until the last request has ended and nothing is under way."""
        for number, spec in enumerate(self.known):
            if not self.made_of.models[number].name:
                self._post(ev.ModelDescribed(number, spec))
            self._post(ev.ModelAdded(number))
        for slot in range(self._desired):
            self._join(slot)
        self._later(0.0, self._arrive)
        self._later(1.0, self._publish)
        for name in ("lost", "found", "copy_lost", "described", "vanish"):
            self._again(name, getattr(self, f"_{name}"))
        while self._step():
            pass
        return self

    # Time.

    def _step(self) -> bool:
        if not self._agenda:
            return False
        due_ns, tick_ns = self._agenda[0][0], self.machine.next_deadline_ns()
        if tick_ns is not None and tick_ns <= due_ns:
            self.now_ns = max(self.now_ns, tick_ns)
            self._post(ev.Tick())
        else:
            self.now_ns, _, what = heappop(self._agenda)
            what()
        return True

    def _later(self, delay_s: float, what: Callable[[], None]) -> None:
        self._n += 1
        heappush(self._agenda, (self.now_ns + ns(delay_s), self._n, what))

    def _again(self, name: str, what: Callable[[], None]) -> None:
        """Now and then, while requests come."""
        rate = getattr(self.plan.trouble, f"{name}_per_s")
        if rate and not self._quiet:
            self._later(float(self._rng["trouble"].exponential(1 / rate)), lambda: (what(), self._again(name, what)))

    def _looked_at(self) -> None:
        if self._check:
            self.machine.check()

    # Inputs.

    def _post(self, event: ev.Event) -> None:
        self.machine.post(event, self.now_ns)
        self._looked_at()

    def _arrive(self) -> None:
        rng, serial = self._rng["arrivals"], len(self.tickets)
        model = int(rng.choice(len(self.known), p=self._popularity))
        ticket = Ticket(serial, model, self.known[model].name, self.now_ns)
        self.tickets.append(ticket)
        self.machine.arrive(ticket, self.now_ns)
        self._looked_at()
        if not ticket.over and ticket.held:
            self._later(self.plan.timeout_s, lambda: self._time_out(ticket))
        elif not ticket.over:
            self._serve(ticket)
        if len(self.tickets) < self.plan.requests:
            self._later(float(rng.exponential(1 / self.plan.rate_rps)), self._arrive)
        else:
            self._quiet = True

    def _serve(self, ticket: Ticket) -> None:
        self._later(self._time(self.plan.service_s), lambda: self._depart(ticket, Failure.NONE))

    def _time_out(self, ticket: Ticket) -> None:
        if ticket.held:
            self._depart(ticket, Failure.MODEL_NOT_READY)

    def _depart(self, ticket: Ticket, failure: Failure) -> None:
        self.machine.depart(ticket, failure, self.now_ns)
        self._looked_at()

    def _released(self, ticket: Ticket) -> None:
        if not ticket.over:
            self._serve(ticket)

    def _publish(self) -> None:
        if self._quiet:
            return
        level = float(self._rng["trouble"].uniform(0, 100))
        self._post(ev.MetricsPublished(self.now_ns, {"GPUUtilization.Average": level,
                                                     "InvocationsPerInstance.Sum": level * 3}))
        self._later(1.0, self._publish)

    # Actions.

    def _perform(self, action: act.Action) -> None:
        if isinstance(action, act.SetDesiredInstances):
            self._desired = action.count
            self._later(0.0, self._fill)
        elif isinstance(action, act.TerminateInstance):
            self._gone(action.instance)
        elif isinstance(action, act.StartDownload):
            self._answer(action, self.plan.download_s, self._downloaded)
        elif isinstance(action, act.LoadModel):
            self._answer(action, self.plan.load_s, self._loaded)
        elif isinstance(action, act.UnloadModel):
            self._answer(action, self.plan.unload_s, lambda at: ev.UnloadFinished(at.instance, at.model))
        else:
            assert isinstance(action, act.DeleteArtifact | act.DrainInstance), action

    def _answer(self, action: Any, mean_s: float, answer: Callable[[Any], ev.Event]) -> None:
        generation = self._generation[action.instance]

        def done() -> None:
            if self._generation[action.instance] == generation:
                self._post(answer(action))

        self._later(self._time(mean_s), done)

    def _downloaded(self, action: act.StartDownload) -> ev.Event:
        if self._chance(self.plan.trouble.download_fails):
            return ev.DownloadFailed(action.instance, action.model, 'S3 "down"')
        spec = self.machine.controller.endpoint.specs[action.model]
        return ev.DownloadFinished(action.instance, action.model, 1000, self._about(spec.disk_bytes))

    def _loaded(self, action: act.LoadModel) -> ev.Event:
        trouble, at = self.plan.trouble, (action.instance, action.model)
        if self._chance(trouble.out_of_memory):
            return ev.LoadFailed(*at, True, "out of memory")
        if self._chance(trouble.load_fails):
            return ev.LoadFailed(*at, False, "does not load")
        spec = self.machine.controller.endpoint.specs[action.model]
        return ev.LoadFinished(*at, self._about(spec.gpu_bytes), self._about(spec.host_bytes))

    def _time(self, mean_s: float) -> float:
        return float(self._rng["times"].exponential(mean_s))

    def _chance(self, share: float) -> bool:
        return bool(self._rng["trouble"].random() < share)

    def _about(self, size_bytes: int) -> int:
        off = self.plan.trouble.sizes_off
        return round(size_bytes * float(self._rng["trouble"].uniform(1 - off, 1 + off))) if off else size_bytes

    # Instances.

    def _join(self, slot: int) -> None:
        self._generation[slot] = self._generation.get(slot, 0) + 1
        self._here.add(slot)
        self._post(ev.InstanceJoined(slot, slot % 2))

    def _gone(self, slot: int) -> None:
        self._generation[slot] += 1
        self._here.discard(slot)

    def _fill(self) -> None:
        serving = len(self.machine.table.serving)
        free = [slot for slot in range(self.made_of.spec.max_instances) if slot not in self._here]
        for slot in free[:max(0, self._desired - serving)]:
            self._join(slot)

    def _lost(self) -> None:
        if self._here:
            slot = int(self._rng["trouble"].choice(sorted(self._here)))
            self._gone(slot)
            self.machine.lose(slot, 'killed "-9"', self.now_ns)
            self._looked_at()
            self._later(0.7, self._fill)

    # What differs from what the machine believes.

    def _found(self) -> None:
        at = self._somewhere(Residency.ABSENT, Residency.ON_DISK)
        if at is not None:
            spec = self.known[at[1]]
            self._post(ev.CopyFound(*at, self._chance(0.5), self._about(spec.gpu_bytes), spec.host_bytes,
                                    spec.disk_bytes))

    def _copy_lost(self) -> None:
        at = self._somewhere(Residency.READY, Residency.ON_DISK)
        if at is not None:
            self._post(ev.CopyLost(*at, self._chance(0.5)))

    def _somewhere(self, *states: Residency) -> tuple[int, int] | None:
        """A place where nothing is under way."""
        where = [(slot, model) for slot in sorted(self._here) for model in range(len(self.known))
                 if self.machine.table.state(slot, model) in states
                 and model not in self.machine.controller.endpoint.fleet[slot].cold]
        return where[int(self._rng["trouble"].integers(len(where)))] if where else None

    def _described(self) -> None:
        """A model is known better; nothing under way rests on what was known."""
        fleet, table = self.machine.controller.endpoint.fleet, self.machine.table
        idle = [model for model in range(len(self.known)) if not table.model.outstanding[model]
                and not any(model in instance.cold for instance in fleet.values())]
        if idle:
            model = int(self._rng["trouble"].choice(idle))
            spec = self.known[model]
            self._post(ev.ModelDescribed(model, replace(spec, disk_bytes=self._about(spec.disk_bytes),
                                                        reload_disk_s=0.4, reload_s3_s=1.0)))

    def _vanish(self) -> None:
        model = int(self._rng["trouble"].integers(len(self.known)))
        self._post(ev.ModelRemoved(model))
        self._later(1.0, lambda: self._post(ev.ModelAdded(model)))


def recorded(made_of: Setup, known: tuple[ModelSpec, ...], plan: Plan, check: bool = True) -> tuple[World, list[str]]:
    """A world that has run, and its journal's lines."""
    lines: list[str] = []
    return World(made_of, known, plan, Lines(lines.append), check).run(), lines
