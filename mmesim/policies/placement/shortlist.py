"""ModelMesh's choice of an instance: an order, a shortlist of the best, without the busy ones, then chance.

Source: KServe ModelMesh, ModelMesh.java at ea13cdc, lines 4646-4703 (order) and 4757-4992 (shortlist). Where the code
and its evident intent differ there are two readings, both in :class:`Shortlist`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from mmesim.core.policy import InstanceView, ModelView
from mmesim.core.types import NEVER_NS
from mmesim.units import ns

QUIET_RPM = 100.0
"""Instances with fewer requests a minute are never too busy."""
AGE_APART_NS = ns(45)
"""Full instances whose oldest copy is at most so much younger than the best's are as good."""
BUSY = ((-1.0, 1.1), (5.0, 1.5), (720.0, 3.0), (86_400.0, 4.0))
"""(seconds since the model's last use, how many times the lightest load is too busy for it)."""
HOUR_S = 3600.0


@dataclass(frozen=True)
class Record:
    """What ModelMesh knows of an instance."""

    index: int
    full: bool
    oldest_use_ns: int
    models: int
    free_bytes: int
    rpm: float

    @property
    def order(self) -> tuple[bool, int, int, int, int, int]:
        """The best instance for a model has the lowest."""
        first, last = (self.oldest_use_ns, 0) if self.full else (0, self.oldest_use_ns)
        return self.full, first, self.models, -self.free_bytes, last, self.index


def record(instance: InstanceView, need_bytes: int, now_ns: int) -> Record:
    """An instance is full when it has less free memory than the model needs (ModelMesh: than a typical model)."""
    return Record(instance.index, instance.free_memory_bytes < need_bytes, instance.oldest_use_ns,
                  instance.n_ready + instance.n_cold, instance.free_memory_bytes, 60 * instance.rate_rps(now_ns))


@dataclass(frozen=True)
class Shortlist:
    """Instances about as good as the best.

    While the best is not full: those that are not full, with at least a part of its free memory and fewer than 10
    models or not many more than it. While it is full: those whose oldest copy is at most 45 s or a tenth of its age
    younger. The list ends at the first that is not. *As written*, the free memory, age and load of each further
    instance are those of the instance that decides (and the best's where it is its own turn): only the number of models
    is the candidate's. A quarter of the free memory is enough, and 1.25 times the models; the comment beside it says
    half and 1.5.
    """

    as_written: bool

    def of(self, records: Sequence[Record], own: Record, now_ns: int) -> list[tuple[int, float]]:
        """(instance, requests a minute) of the shortlisted, best first; `own`: the instance that decides."""
        best, *others = sorted(records, key=lambda one: one.order)
        chosen = [(best.index, best.rpm)]
        for other in others:
            seen = other
            if self.as_written:
                seen = best if other.index == own.index else own
            if not self._in_range(best, seen, other.models, now_ns):
                break
            chosen.append((other.index, seen.rpm))
        return chosen

    def _in_range(self, best: Record, other: Record, models: int, now_ns: int) -> bool:
        if best.full:
            younger_ns = other.oldest_use_ns - best.oldest_use_ns
            return younger_ns <= AGE_APART_NS or younger_ns <= (now_ns - best.oldest_use_ns) // 10
        part, more = (4, 1.25) if self.as_written else (2, 1.5)
        return not other.full and other.free_bytes >= best.free_bytes // part and \
            (models < 10 or models <= more * best.models)


def not_busy(shortlist: Sequence[tuple[int, float]], used_s: float) -> list[int]:
    """Those that are not much busier than the least busy; `used_s`: since the model's last use, negative for a copy
    that load asks for."""
    factor = next((times for limit, times in BUSY if used_s < limit), inf)
    limit = factor * max(QUIET_RPM, min(rpm for _, rpm in shortlist))
    quiet = [instance for instance, rpm in shortlist if rpm < QUIET_RPM or rpm <= limit]
    return quiet or [shortlist[-1][0]]


def since_use_s(model: ModelView, now_ns: int) -> float:
    """Since its last request; a model without one counts as used an hour ago (lines 264-270)."""
    return (now_ns - model.last_use_ns) / 1e9 if model.uses else HOUR_S


@dataclass(frozen=True)
class Cluster:
    """The instances together."""

    free_fraction: float
    age_ns: int
    """Of the copy that was touched longest ago; 0 without one."""

    @classmethod
    def of(cls, instances: Sequence[InstanceView], now_ns: int) -> Cluster:
        """At this moment."""
        memory = sum(instance.memory_bytes for instance in instances)
        free = sum(instance.free_memory_bytes for instance in instances)
        oldest_ns = min((instance.oldest_use_ns for instance in instances), default=NEVER_NS)
        return cls(free / memory if memory else 0.0, max(0, now_ns - oldest_ns))


def pick(rng: np.random.Generator, among: Sequence[int]) -> int:
    """One of them, all equally likely; nothing is drawn for a single one."""
    return among[0] if len(among) == 1 else among[int(rng.integers(len(among)))]
