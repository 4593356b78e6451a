"""What a live journal tells of the endpoint's world: requests, how long things took, what models really are.

Read in one pass; memory grows by some 30 bytes a request.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mmesim.core import actions as act
from mmesim.core import events as ev
from mmesim.core.types import Failure, ModelSpec, Tier
from mmesim.journal.entries import Arrived, Departed, Entry, Lost, Sent, Step
from mmesim.live.setup import Setup

LOOKED_UP = (Failure.NONE, Failure.MODEL_NOT_READY, Failure.LOAD_FAILED)
"""How a request ends of which it is known whether a loaded copy was there (as in a run's summary)."""
MAX_SERVED = 50_000
"""Requests whose times are kept to find out how many a copy serves at once."""


@dataclass(slots=True)
class _Request:
    arrived_ns: int
    model: int
    instance: int = -1
    tier: Tier = Tier.GPU
    held: bool = False
    released_ns: int = -1
    alone: bool = True
    first: bool = False


@dataclass
class Observed:
    """Fed with a journal's entries by `take`."""

    setup: Setup
    arrival_ns: array[int] = field(default_factory=lambda: array("q"))
    arrival_model: array[int] = field(default_factory=lambda: array("i"))
    specs: list[ModelSpec] = field(init=False)
    """What is known of each model at the end."""
    actual: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Device and host bytes that a load reported, by model."""
    added: dict[int, int] = field(default_factory=dict)
    """When each model came, ns."""
    removed: dict[int, int] = field(default_factory=dict)
    """When each model that did not come back went."""
    download_s: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    load_s: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    unload_s: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    alone_s: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Times of requests that no other was beside at their copy."""
    first_s: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    """The same of the first request after a load."""
    served: dict[tuple[int, int], list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    """(released, over) of requests by copy, ns."""
    start_s: list[float] = field(default_factory=list)
    """From the wish for an instance until it was in service."""
    losses: list[tuple[int, int]] = field(default_factory=list)
    """(ns, slot)"""
    counts: Counter[str] = field(default_factory=Counter)
    """requests, hits, lookups, failed, loads, unloads, evictions, downloads, found."""
    latency_ns: array[int] = field(default_factory=lambda: array("q"))
    """Of answered requests."""
    wait_ns: array[int] = field(default_factory=lambda: array("q"))
    """Of answered requests that waited for a load: until it was there."""
    first_joined_ns: int = -1
    ended_ns: int = 0

    def __post_init__(self) -> None:
        self.specs = list(self.setup.models)
        self._requests: dict[int, _Request] = {}
        self._held: dict[tuple[int, int], list[int]] = defaultdict(list)
        self._at: dict[tuple[int, int], dict[int, None]] = defaultdict(dict)
        self._begun: dict[tuple[type, int, int], int] = {}
        self._wished_ns = -1
        self._kept = 0
        self._failing: set[int] = set()
        self._on: dict[type, Callable[[int, Any], None]] = {
            ev.ModelDescribed: lambda _, event: self.specs.__setitem__(event.model, event.spec),
            ev.ModelAdded: self._added, ev.ModelRemoved: lambda t, event: self.removed.__setitem__(event.model, t),
            ev.DownloadFinished: lambda t, e: self._ended(t, e, act.StartDownload, self.download_s),
            ev.DownloadFailed: lambda t, e: self._ended(t, e, act.StartDownload, None),
            ev.LoadFinished: self._loaded, ev.LoadFailed: self._load_failed,
            ev.UnloadFinished: lambda t, e: self._ended(t, e, act.UnloadModel, self.unload_s),
            ev.InstanceJoined: self._joined, ev.CopyFound: lambda t, e: self._count("found"),
            act.StartDownload: lambda t, a: self._begins(t, a, "downloads"),
            act.LoadModel: lambda t, a: self._begins(t, a, "loads"), act.UnloadModel: self._unloads,
            act.Dispatch: self._dispatched, act.FailWaiters: self._failed_waiters,
            act.SetDesiredInstances: self._wished, act.TerminateInstance: lambda t, a: self._gone(a.instance)}

    def take(self, entry: Entry) -> None:
        """The next entry."""
        self.ended_ns = entry.now_ns
        if isinstance(entry, Step):
            for told in (entry.event, *entry.actions):
                if (handler := self._on.get(type(told))) is not None:
                    handler(entry.now_ns, told)
        elif isinstance(entry, Arrived):
            self._arrived(entry)
        elif isinstance(entry, Sent):
            self._sent(entry)
        elif isinstance(entry, Departed):
            self._departed(entry)
        elif isinstance(entry, Lost):
            self.losses.append((entry.now_ns, entry.instance))
            self._gone(entry.instance)
        else:
            self._refused(entry.serial, entry.failure)

    @property
    def never_loaded(self) -> set[int]:
        """Models whose loads have only failed."""
        return self._failing - self.load_s.keys()

    @property
    def n_models(self) -> int:
        """Places that were ever taken."""
        return max(self.added, default=-1) + 1

    def _count(self, what: str, n: int = 1) -> None:
        self.counts[what] += n

    # Requests.

    def _arrived(self, entry: Arrived) -> None:
        self._count("requests")
        self.arrival_ns.append(entry.now_ns)
        self.arrival_model.append(entry.model)
        self._requests[entry.serial] = _Request(entry.now_ns, entry.model)

    def _sent(self, entry: Sent) -> None:
        request = self._requests[entry.serial]
        request.instance, request.tier, request.held = entry.instance, entry.tier, entry.held
        if entry.held:
            self._held[entry.instance, request.model].append(entry.serial)
        else:
            self._release(entry.now_ns, entry.serial, request)

    def _release(self, now_ns: int, serial: int, request: _Request) -> None:
        beside = self._at[request.instance, request.model]
        request.released_ns, request.alone = now_ns, not beside
        for other in beside:
            self._requests[other].alone = False
        beside[serial] = None

    def _refused(self, serial: int, failure: Failure) -> None:
        self._requests.pop(serial)
        self._count("failed")
        self._count("lookups", failure in LOOKED_UP)

    def _departed(self, entry: Departed) -> None:
        request = self._requests.pop(entry.serial, None)
        if request is None:
            return
        at = (request.instance, request.model)
        self._at[at].pop(entry.serial, None)
        if entry.serial in self._held[at]:
            self._held[at].remove(entry.serial)
        self._count("lookups", entry.failure in LOOKED_UP)
        if entry.failure is not Failure.NONE:
            self._count("failed")
            return
        self._count("hits", request.tier is Tier.GPU)
        self.latency_ns.append(entry.now_ns - request.arrived_ns)
        if request.released_ns < 0:
            return  # held by a stall, and let go at its end: no line tells
        if request.tier is not Tier.GPU:
            self.wait_ns.append(request.released_ns - request.arrived_ns)
        self._keep(at, request, entry.now_ns)

    def _keep(self, at: tuple[int, int], request: _Request, now_ns: int) -> None:
        if request.alone:
            times_s = self.first_s if request.first else self.alone_s
            times_s[request.model].append((now_ns - request.released_ns) / 1e9)
        if self._kept < MAX_SERVED and not request.held:
            self._kept += 1
            self.served[at].append((request.released_ns, now_ns))

    def _dispatched(self, now_ns: int, action: act.Dispatch) -> None:
        for serial in self._held.pop((action.instance, action.model), ()):
            request = self._requests[serial]
            request.first = request.tier is not Tier.GPU
            self._release(now_ns, serial, request)

    def _failed_waiters(self, now_ns: int, action: act.FailWaiters) -> None:
        for serial in self._held.pop((action.instance, action.model), ()):
            self._refused(serial, action.failure)

    def _gone(self, instance: int) -> None:
        for serial in [serial for serial, request in self._requests.items() if request.instance == instance]:
            request = self._requests.pop(serial)
            self._at[instance, request.model].pop(serial, None)
            self._held.pop((instance, request.model), None)
            self._count("failed")
        for key in [key for key in self._begun if key[1] == instance]:
            del self._begun[key]

    # The world.

    def _begins(self, now_ns: int, action: Any, what: str) -> None:
        self._count(what)
        self._begun[type(action), action.instance, action.model] = now_ns

    def _unloads(self, now_ns: int, action: act.UnloadModel) -> None:
        self._begins(now_ns, action, "unloads")
        self._count("evictions", action.reason.startswith("evicted for "))

    def _ended(self, now_ns: int, event: Any, begun: type, times_s: dict[int, list[float]] | None) -> None:
        began_ns = self._begun.pop((begun, event.instance, event.model), None)
        if began_ns is not None and times_s is not None:
            times_s[event.model].append((now_ns - began_ns) / 1e9)

    def _loaded(self, now_ns: int, event: ev.LoadFinished) -> None:
        self._ended(now_ns, event, act.LoadModel, self.load_s)
        self.actual[event.model] = event.gpu_bytes, event.host_bytes

    def _load_failed(self, now_ns: int, event: ev.LoadFailed) -> None:
        self._ended(now_ns, event, act.LoadModel, None)
        self._failing.update([event.model] if not event.out_of_memory else [])

    def _added(self, now_ns: int, event: ev.ModelAdded) -> None:
        self.added.setdefault(event.model, now_ns)
        self.removed.pop(event.model, None)

    def _wished(self, now_ns: int, action: act.SetDesiredInstances) -> None:
        self._wished_ns = now_ns

    def _joined(self, now_ns: int, event: ev.InstanceJoined) -> None:
        if self.first_joined_ns < 0:
            self.first_joined_ns = now_ns
        if self._wished_ns >= 0:
            self.start_s.append((now_ns - self._wished_ns) / 1e9)
