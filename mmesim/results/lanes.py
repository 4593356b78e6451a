"""Which models were in memory on which instance, and what moved them: read off the controller's steps.

A *lane* is one stay of a model in an instance's memory, from the start of its load to the end of its unload. A *reload*
is a load of a model on an instance that it had left at most `THRASH_WINDOW_NS` before: the work of an eviction that was
a mistake. Many of them is thrashing; CloudWatch's hint at it is the sample count of ModelUnloadingTime.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from mmesim.core import actions as ac
from mmesim.core import events as ev
from mmesim.core.actions import Action
from mmesim.core.events import Event
from mmesim.core.types import Tier

if TYPE_CHECKING:
    from pandas import DataFrame

THRASH_WINDOW_NS = 600_000_000_000
"""A reload within 10 min counts as thrash: the half-life of the use counts, a few times the longest load."""


class Count(IntEnum):
    """What is counted in each interval."""

    DOWNLOADS = 0
    DOWNLOADS_FAILED = 1
    LOADS_FROM_DISK = 2
    LOADS_FROM_S3 = 3
    LOADS_FAILED = 4
    OUT_OF_MEMORY = 5
    UNLOADS = 6
    EVICTIONS = 7
    RELOADS = 8
    FILES_DELETED = 9
    SPILL_WISHES = 10


@dataclass(slots=True)
class _Stay:
    """A lane that is still open."""

    load_ns: int
    tier: int
    reload: bool
    ready_ns: int = -1
    unload_ns: int = -1
    gpu_bytes: int = 0
    reason: str = ""


_COLUMNS = ("slot", "model", "load_ns", "ready_ns", "unload_ns", "end_ns", "tier", "reload", "gpu_bytes", "reason")
"""Of a closed lane; kept as integers, for there may be millions: reasons are numbered."""


@dataclass
class Lanes:
    """Follows every (instance, model); `counts` are since the last `take_counts`."""

    counts: list[int] = field(default_factory=lambda: [0] * len(Count))
    fleet_log: list[tuple[int, str, int, str]] = field(default_factory=list)
    """(time_ns, what, instance slot or count, reason): desired, joined, draining, terminated, lost."""
    unload_reasons: dict[str, int] = field(default_factory=dict)
    """Unloads by kind of reason since the last `forget_reasons`."""

    def __post_init__(self) -> None:
        self._open: dict[tuple[int, int], _Stay] = {}
        self._left_ns: dict[tuple[int, int], int] = {}
        self._downloaded: set[tuple[int, int]] = set()
        self._closed = array("q")
        self._reasons: dict[str, int] = {}
        self._on: dict[type, Callable[[Any, int], None]] = {
            ev.CopyWished: lambda event, now_ns: self._count(Count.SPILL_WISHES),
            ev.DownloadFailed: self._download_failed,
            ev.LoadFinished: self._load_finished,
            ev.LoadFailed: self._load_failed,
            ev.UnloadFinished: self._unload_finished,
            ev.InstanceJoined: lambda event, now_ns: self._log(now_ns, "joined", event.instance, ""),
            ev.InstanceLost: lambda event, now_ns: self._instance_ended(now_ns, "lost", event.instance, event.reason),
            ac.StartDownload: self._start_download,
            ac.LoadModel: self._load_model,
            ac.UnloadModel: self._unload_model,
            ac.DeleteArtifact: lambda action, now_ns: self._count(Count.FILES_DELETED),
            ac.SetDesiredInstances: lambda action, now_ns: self._log(now_ns, "desired", action.count, action.reason),
            ac.DrainInstance: lambda action, now_ns: self._log(now_ns, "draining", action.instance, action.reason),
            ac.TerminateInstance: self._terminate,
        }

    def step(self, now_ns: int, event: Event, actions: tuple[Action, ...]) -> None:
        """One controller step."""
        handlers = self._on
        if (handler := handlers.get(type(event))) is not None:
            handler(event, now_ns)
        for action in actions:
            if (handler := handlers.get(type(action))) is not None:
                handler(action, now_ns)

    def take_counts(self) -> list[int]:
        """Counts by `Count` since the last call."""
        counts, self.counts = self.counts, [0] * len(Count)
        return counts

    def finish(self, ended_ns: int) -> DataFrame:
        """All stays in order of their start; those still open end at `ended_ns`, with no reason."""
        import pandas as pd

        for slot, model in list(self._open):
            self._close(slot, model, ended_ns)
        closed = np.frombuffer(self._closed, np.int64).reshape(-1, len(_COLUMNS))
        table = pd.DataFrame(closed, columns=list(_COLUMNS)).astype({"reload": bool})
        table["reason"] = np.array([*self._reasons, ""], object)[closed[:, -1]]
        return table.sort_values(["load_ns", "slot", "model"], kind="stable", ignore_index=True)

    def _count(self, what: Count) -> None:
        self.counts[what] += 1

    def _log(self, now_ns: int, what: str, number: int, reason: str) -> None:
        self.fleet_log.append((now_ns, what, number, reason))

    def _start_download(self, action: ac.StartDownload, now_ns: int) -> None:
        self._downloaded.add((action.instance, action.model))
        self.counts[Count.DOWNLOADS] += 1

    def _download_failed(self, event: ev.DownloadFailed, now_ns: int) -> None:
        self._downloaded.discard((event.instance, event.model))
        self.counts[Count.DOWNLOADS_FAILED] += 1

    def _load_model(self, action: ac.LoadModel, now_ns: int) -> None:
        key = (action.instance, action.model)
        from_s3 = key in self._downloaded
        left_ns = self._left_ns.get(key)
        reload = left_ns is not None and now_ns - left_ns <= THRASH_WINDOW_NS
        self._downloaded.discard(key)
        self._open[key] = _Stay(now_ns, Tier.S3 if from_s3 else Tier.DISK, reload)
        self.counts[Count.LOADS_FROM_S3 if from_s3 else Count.LOADS_FROM_DISK] += 1
        self.counts[Count.RELOADS] += reload

    def _load_finished(self, event: ev.LoadFinished, now_ns: int) -> None:
        stay = self._open[event.instance, event.model]
        stay.ready_ns, stay.gpu_bytes = now_ns, event.gpu_bytes

    def _load_failed(self, event: ev.LoadFailed, now_ns: int) -> None:
        self.counts[Count.OUT_OF_MEMORY if event.out_of_memory else Count.LOADS_FAILED] += 1
        self._open[event.instance, event.model].reason = "out of memory" if event.out_of_memory else "load failed"
        self._close(event.instance, event.model, now_ns)

    def _unload_model(self, action: ac.UnloadModel, now_ns: int) -> None:
        stay = self._open[action.instance, action.model]
        stay.unload_ns, stay.reason = now_ns, action.reason
        kind = action.reason.split(" for ")[0]
        self.unload_reasons[kind] = self.unload_reasons.get(kind, 0) + 1
        self.counts[Count.UNLOADS] += 1
        self.counts[Count.EVICTIONS] += kind == "evicted"
        self.counts[Count.OUT_OF_MEMORY] += kind == "out of memory"

    def _unload_finished(self, event: ev.UnloadFinished, now_ns: int) -> None:
        stay = self._open[event.instance, event.model]
        if stay.reason.startswith("evicted"):
            self._left_ns[event.instance, event.model] = now_ns
        self._close(event.instance, event.model, now_ns)

    def _terminate(self, action: ac.TerminateInstance, now_ns: int) -> None:
        self._instance_ended(now_ns, "terminated", action.instance, action.reason)

    def _instance_ended(self, now_ns: int, what: str, slot: int, reason: str) -> None:
        """Nothing is left there: its stays end, and the slot's next instance remembers nothing."""
        self._log(now_ns, what, slot, reason)
        for key in [key for key in self._open if key[0] == slot]:
            self._open[key].reason = f"instance {what}"
            self._close(*key, now_ns)
        self._downloaded = {key for key in self._downloaded if key[0] != slot}
        self._left_ns = {key: left for key, left in self._left_ns.items() if key[0] != slot}

    def _close(self, slot: int, model: int, end_ns: int) -> None:
        stay = self._open.pop((slot, model))
        reason = self._reasons.setdefault(stay.reason, len(self._reasons))
        self._closed.extend((slot, model, stay.load_ns, stay.ready_ns, stay.unload_ns, end_ns, stay.tier, stay.reload,
                             stay.gpu_bytes, reason))
