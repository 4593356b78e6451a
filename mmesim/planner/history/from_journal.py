"""A past from a live endpoint's journal: each request with its latency, its outcome and whether its model was there;
loads; instances in service.

Time 0 is when the first instance came into service. A request that was lost with an instance and sent again arrived
twice there, and counts twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmesim.core import actions as act
from mmesim.core import events as ev
from mmesim.core.types import Failure, Tier
from mmesim.errors import InputError, Problem
from mmesim.journal.entries import Arrived, Departed, Entry, Lost, Refused, Sent, Step
from mmesim.journal.parts import is_live_journal, starts
from mmesim.journal.read import JournalReader, open_journal
from mmesim.planner.history.answers import FAILED, HIT, LATENCY, MODEL_DID_NOT_COME, Answers
from mmesim.planner.history.evidence import Evidence, Track
from mmesim.planner.history.numbers import INSTANCES
from mmesim.planner.history.past import Past
from mmesim.units import NS_PER_MS
from mmesim.workload.importing.rows import Requests


def journal_folder(folder: Path) -> Path | None:
    """The folder of the journal, which may be the endpoint's state folder that holds one; None: there is none."""
    return next((each for each in (folder, folder / "journal") if is_live_journal(each)), None)


def read_journal(folder: Path) -> Past:
    """The latest start in the folder. Raises InputError when it holds no request, or no instance came into service."""
    with open_journal(folder) as journal:
        seen = _Seen()
        for entry in journal.entries():
            seen.take(entry)
        if not seen.t_ns or seen.zero_ns < 0:
            raise InputError(Problem("the journal holds no request yet, or no server that came into service",
                                     file=journal.name, hint="send requests to the endpoint first"))
        return _past(journal, seen, _notes(journal, folder, seen))


def _notes(journal: JournalReader, folder: Path, seen: _Seen) -> list[str]:
    told = ["requests come when they came; clients that wait for answers would have sent sooner after faster ones"]
    if (n := len(starts(folder)) if folder.is_dir() else 0) > 1:
        told.append(f"{n} starts of the endpoint are there; the latest is taken: {journal.name}")
    if journal.cut_off:
        told.append("the journal has no end: it was read to its last whole line")
    if early := sum(t_ns < seen.zero_ns for t_ns in seen.t_ns):
        told.append(f"{early:,} requests came before the first server was in service, and are left out")
    return told


def _past(journal: JournalReader, seen: _Seen, notes: list[str]) -> Past:
    zero_ns = seen.zero_ns
    names = np.array(journal.header["models"], object)
    t_ns = np.array(seen.t_ns, np.int64) - zero_ns
    columns = {name: np.array(values, float) for name, values in seen.columns.items()}
    kept = t_ns >= 0
    answers = Answers.of(t_ns[kept], {name: column[kept] for name, column in columns.items()})
    return Past("live journal", journal.name, Requests(t_ns[kept], names[np.array(seen.model)[kept]]),
                Evidence(answers, seen.tracks()), seen.ended_ns - zero_ns,
                journal.header["started"]["unix_ns"] + zero_ns, notes=tuple(notes))


@dataclass
class _Seen:
    """Fed with a journal's entries by `take`; times are the journal's."""

    t_ns: list[int] = field(default_factory=list)
    model: list[int] = field(default_factory=list)
    columns: dict[str, list[float]] = field(default_factory=lambda: {LATENCY: [], FAILED: [], HIT: []})
    zero_ns: int = -1
    ended_ns: int = 0
    loads_ns: list[int] = field(default_factory=list)
    unloads_ns: list[int] = field(default_factory=list)
    changes: list[tuple[int, int]] = field(default_factory=list)
    """(ns, by how many the instances in service changed)"""

    def __post_init__(self) -> None:
        self._open: dict[int, tuple[int, int, Tier]] = {}  # serial -> (row, instance, tier)
        self._serving: set[int] = set()
        self._held: dict[tuple[int, int], list[int]] = defaultdict(list)
        self._on: dict[type, Callable[[int, Any], None]] = {
            ev.InstanceJoined: self._joined, act.LoadModel: lambda t, _: self.loads_ns.append(t),
            act.UnloadModel: lambda t, _: self.unloads_ns.append(t),
            act.Dispatch: lambda _, action: self._released(action), act.FailWaiters: self._fail_waiters,
            act.TerminateInstance: lambda t, action: self._gone(t, action.instance)}

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
            row = self._open[entry.serial][0]
            self._open[entry.serial] = row, entry.instance, entry.tier
            if entry.held:
                self._held[entry.instance, self.model[row]].append(entry.serial)
        elif isinstance(entry, Departed | Refused):
            self._over(entry.now_ns, entry.serial, entry.failure)
        elif isinstance(entry, Lost):
            self._gone(entry.now_ns, entry.instance)

    def tracks(self) -> dict[str, Track]:
        """Loads, unloads and instances in service, from time 0 on."""
        found = {}
        for name, times in (("residency.loads", self.loads_ns), ("residency.unloads", self.unloads_ns)):
            t_ns = np.array(times, np.int64) - self.zero_ns
            found[name] = Track.of("sum", t_ns, t_ns, np.ones(len(t_ns)))
        at, by = np.array(self.changes, np.int64).reshape(-1, 2).T
        ends = np.append(at[1:], self.ended_ns)
        found[INSTANCES] = Track.of("mean", at - self.zero_ns, ends - self.zero_ns, np.cumsum(by).astype(float))
        return found

    def _arrived(self, entry: Arrived) -> None:
        self._open[entry.serial] = len(self.t_ns), -1, Tier.GPU
        self.t_ns.append(entry.now_ns)
        self.model.append(entry.model)
        for column in self.columns.values():
            column.append(np.nan)

    def _over(self, now_ns: int, serial: int, failure: Failure) -> None:
        """A request has ended. One that waited is among the waiters no more."""
        if (known := self._open.pop(serial, None)) is None:
            return
        row, instance, tier = known
        waiting = self._held.get((instance, self.model[row]), [])
        if serial in waiting:
            waiting.remove(serial)
        answered = failure is Failure.NONE
        self.columns[FAILED][row] = 0.0 if answered else 1.0
        if answered:
            self.columns[LATENCY][row] = (now_ns - self.t_ns[row]) / NS_PER_MS
        if answered or failure in MODEL_DID_NOT_COME:
            self.columns[HIT][row] = float(answered and tier is Tier.GPU)

    def _released(self, action: act.Dispatch) -> None:
        """Its model is there: nobody waits for it any more."""
        self._held.pop((action.instance, action.model), None)

    def _fail_waiters(self, now_ns: int, action: act.FailWaiters) -> None:
        for serial in self._held.pop((action.instance, action.model), ()):
            self._over(now_ns, serial, action.failure)

    def _joined(self, now_ns: int, event: ev.InstanceJoined) -> None:
        self.zero_ns = now_ns if self.zero_ns < 0 else self.zero_ns
        self._serving.add(event.instance)
        self.changes.append((now_ns, 1))

    def _gone(self, now_ns: int, instance: int) -> None:
        """An instance is out of service, with all requests there."""
        if instance in self._serving:
            self._serving.remove(instance)
            self.changes.append((now_ns, -1))
        for serial in [serial for serial, (_, where, _) in self._open.items() if where == instance]:
            self._over(now_ns, serial, Failure.INSTANCE_LOST)
