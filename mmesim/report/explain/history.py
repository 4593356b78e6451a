"""What a journal tells of a run, read once from its beginning: stays of models, evictions, scaling, refusals.

A *stay* is one way of a model through an instance, from the first sign of its cold start to the end of its unload. A
miss does not name its instance; the next download or load of that model is taken for its cold start, which it is unless
two cold starts of one model wait for threads at once. Decisions are many and large: only those wanted are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmesim.core import actions as ac
from mmesim.core import events as ev
from mmesim.core.decisions import EvictionDecision, ScalingDecision
from mmesim.errors import InputError, Problem
from mmesim.journal import Step, open_journal
from mmesim.journal.parts import is_live_journal
from mmesim.journal.record import NAME

EVICTED = "evicted for "
"""How the reason of an unload begins that made room for another model."""
Wanted = Callable[[int, EvictionDecision], bool]
"""Whether the decision at this time is to be kept."""
SCALING = f'"{ScalingDecision.__name__}"'


@dataclass(slots=True)
class Stay:
    """One way of a model through an instance slot; -1: that did not happen (yet)."""

    slot: int
    model: int
    asked_ns: int
    """The miss that began it, or its first action."""
    download_ns: int = -1
    """A download thread began."""
    downloaded_ns: int = -1
    """The bytes were there."""
    extracted_ns: int = -1
    load_ns: int = -1
    """Memory was reserved and a load thread began (for the last time, when it was repeated)."""
    ready_ns: int = -1
    gpu_bytes: int = 0
    unload_ns: int = -1
    reason: str = ""
    """Why it left."""
    gone_ns: int = -1

    def is_ready(self, at_ns: int) -> bool:
        """READY just before what happened at `at_ns`."""
        return 0 <= self.ready_ns <= at_ns and (self.unload_ns < 0 or at_ns <= self.unload_ns)

    def is_loading(self, at_ns: int) -> bool:
        """A load thread works on it."""
        return 0 <= self.load_ns <= at_ns and (at_ns < self.ready_ns if self.ready_ns >= 0 else self.gone_ns < 0
                                               or at_ns < self.gone_ns)


@dataclass(frozen=True, slots=True)
class Eviction:
    """One model left, to make room."""

    at_ns: int
    slot: int
    model: int
    on_disk: bool
    wanted_by: str


@dataclass
class History:
    """A journal, read."""

    header: dict[str, Any]
    stays: list[Stay] = field(default_factory=list)
    evictions: list[Eviction] = field(default_factory=list)
    decisions: list[tuple[int, EvictionDecision]] = field(default_factory=list)
    """Those wanted."""
    scaling: list[tuple[int, ScalingDecision]] = field(default_factory=list)
    """Those that changed the desired number."""
    metrics: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    """(published at, values) of every period."""
    joined: list[tuple[int, int]] = field(default_factory=list)
    """(time, slot) of instances that came into service."""
    refused: Counter[tuple[int, str]] = field(default_factory=Counter)
    """Misses refused and waiters failed, by (model, why)."""
    steps: int = 0
    ended_ns: int = 0

    @property
    def models(self) -> list[str]:
        """Names by number."""
        names: list[str] = self.header["models"]
        return names

    @property
    def tells_decisions(self) -> bool:
        """Whether policies' decisions were recorded."""
        return bool(self.header["scenario"]["output"]["decisions"])

    def of(self, model: int, slot: int | None = None) -> list[Stay]:
        """Stays of a model, in order of their beginning."""
        return [stay for stay in self.stays if stay.model == model and slot in (None, stay.slot)]


class Reader:
    """Follows the steps; `history` grows."""

    def __init__(self, header: dict[str, Any], wanted: Wanted | None) -> None:
        self.history = History(header)
        self._wanted = wanted
        self._open: dict[tuple[int, int], Stay] = {}
        self._missed: dict[int, int] = {}
        self._on: dict[type, Callable[[int, Any], None]] = {
            ev.ModelMissed: self._miss,
            ev.DownloadFinished: self._downloaded, ev.DownloadFailed: self._failed, ev.LoadFinished: self._ready,
            ev.LoadFailed: self._load_failed, ev.UnloadFinished: self._gone,
            ev.InstanceJoined: lambda t, e: self.history.joined.append((t, e.instance)),
            ev.InstanceLost: self._instance_ended, ac.TerminateInstance: self._instance_ended,
            ev.MetricsPublished: lambda t, e: self.history.metrics.append((t, e.values)),
            ac.StartDownload: self._download, ac.LoadModel: self._load, ac.UnloadModel: self._unload,
            ac.DeleteArtifact: lambda t, a: self._evicted(t, a, on_disk=True),
            ac.Reject: self._rejected, ac.FailWaiters: self._rejected,
            ScalingDecision: self._scaled, EvictionDecision: self._decided}

    def step(self, step: Step) -> None:
        """Take in one step."""
        t, on = step.now_ns, self._on
        self.history.steps += 1
        self.history.ended_ns = t
        for told in (step.event, *step.actions, *step.decisions):
            if (handler := on.get(type(told))) is not None:
                handler(t, told)

    def _stay(self, t: int, told: Any) -> Stay:
        """The open stay of this copy; a new one if there is none."""
        key = (told.instance, told.model)
        if key not in self._open:
            self._open[key] = Stay(*key, self._missed.pop(told.model, t))
            self.history.stays.append(self._open[key])
        return self._open[key]

    def _miss(self, t: int, event: ev.ModelMissed) -> None:
        self._missed.setdefault(event.model, t)

    def _download(self, t: int, action: ac.StartDownload) -> None:
        self._stay(t, action).download_ns = t

    def _downloaded(self, t: int, event: ev.DownloadFinished) -> None:
        stay = self._stay(t, event)
        stay.downloaded_ns, stay.extracted_ns = t - event.extract_ns, t

    def _load(self, t: int, action: ac.LoadModel) -> None:
        self._stay(t, action).load_ns = t

    def _ready(self, t: int, event: ev.LoadFinished) -> None:
        stay = self._stay(t, event)
        stay.ready_ns, stay.gpu_bytes = t, event.gpu_bytes

    def _failed(self, t: int, event: ev.DownloadFailed | ev.LoadFailed) -> None:
        stay = self._stay(t, event)
        stay.reason, stay.gone_ns = event.reason, t
        del self._open[event.instance, event.model]

    def _load_failed(self, t: int, event: ev.LoadFailed) -> None:
        if not event.out_of_memory:
            self._failed(t, event)

    def _unload(self, t: int, action: ac.UnloadModel) -> None:
        stay = self._stay(t, action)
        stay.unload_ns, stay.reason = t, action.reason
        self._evicted(t, action, on_disk=False)

    def _gone(self, t: int, event: ev.UnloadFinished) -> None:
        stay = self._open.pop((event.instance, event.model), None)
        if stay is not None:
            stay.gone_ns = t

    def _instance_ended(self, t: int, told: ev.InstanceLost | ac.TerminateInstance) -> None:
        for key in [key for key in self._open if key[0] == told.instance]:
            self._open.pop(key).gone_ns = t

    def _evicted(self, t: int, action: ac.UnloadModel | ac.DeleteArtifact, *, on_disk: bool) -> None:
        if action.reason.startswith(EVICTED):
            self.history.evictions.append(
                Eviction(t, action.instance, action.model, on_disk, action.reason.removeprefix(EVICTED)))

    def _rejected(self, t: int, action: ac.Reject | ac.FailWaiters) -> None:
        self._missed.pop(action.model, None)
        self.history.refused[action.model, action.failure.name.lower()] += 1

    def _scaled(self, t: int, decision: ScalingDecision) -> None:
        if decision.wanted != decision.desired:
            self.history.scaling.append((t, decision))

    def _decided(self, t: int, decision: EvictionDecision) -> None:
        if self._wanted is not None and self._wanted(t, decision):
            self.history.decisions.append((t, decision))


def journal_of(folder: Path) -> Path:
    """The journal of a run, or of a live endpoint. Raises InputError when there is none."""
    if is_live_journal(folder):
        return folder
    if not (folder / NAME).is_file():
        raise InputError(Problem(f"{folder} has no {NAME}", hint="run it with --set output.journal=true, or --rerun"))
    return folder / NAME


def read_history(folder: Path, wanted: Wanted | None = None, tick: Callable[[int], None] | None = None) -> History:
    """The journal of a result folder; no `wanted`: no decisions to evict are kept. `tick` gets the simulated time (ns)
    now and then. Raises InputError when there is no journal, or at what is no step."""
    path = journal_of(folder)
    with open_journal(path) as journal:
        if journal.is_live:
            journal.header["scenario"] = {"endpoint": journal.header["live"]["settings"], "output": {}}
        reader = Reader(journal.header, wanted)
        for n, step in enumerate(journal.steps(None if wanted else lambda text: SCALING in text)):
            try:
                reader.step(step)
            except (AttributeError, KeyError, TypeError) as error:
                raise InputError(Problem(f"step {n + 1} does not follow from those before it", file=str(path),
                                         hint="the file is damaged; record it again")) from error
            if tick is not None and n % 2048 == 0:
                tick(step.now_ns)
        if journal.is_live:
            journal.header["scenario"]["output"]["decisions"] = journal.tells_decisions
    return reader.history
