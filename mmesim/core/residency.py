"""The residency table: the only state that control plane and data plane share.

One `COPY` row per (instance, model), row number ``instance * n_models + model``. The control plane writes where a model
stands (`state`, `tier`, the `_ns` marks of a cold start, the routing lists); the data plane writes what requests did
(`outstanding`, `backlog_ns`, `last_use_ns`, `uses`, the decayed rate). Policies read. Columns are addressed field first
(``copies["outstanding"][row]``), so the same source runs compiled and uncompiled.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from mmesim.core.lifecycle import Residency, advance
from mmesim.core.types import NONE, ModelSpec, Tier
from mmesim.units import ns

COPY = np.dtype([
    ("state", np.int32),            # Residency
    ("tier", np.int32),             # Tier of the cold start under way (or of the last one)
    ("outstanding", np.int32),      # requests sent here and not finished, held ones included
    ("cold", np.int32),             # 1: a cold start is under way here (waits for a thread or memory, downloads, loads)
    ("watch", np.int32),            # 1: tell the controller when outstanding becomes 0
    ("uses", np.int64),             # requests routed here since the copy became READY (waiters count)
    ("last_use_ns", np.int64),      # arrival of the last request routed here; kept over unloads
    ("rate_q16", np.int64),         # decayed count of uses, Q16, half-life RATE_HALF_LIFE_NS; kept over unloads
    ("rate_at_ns", np.int64),       # time rate_q16 is decayed to
    ("ready_since_ns", np.int64),
    ("requested_ns", np.int64),     # the cold start began
    ("downloaded_ns", np.int64),    # bytes are here (= requested_ns for Tier.DISK)
    ("extracted_ns", np.int64),     # files are on the disk (= requested_ns for Tier.DISK)
    ("load_started_ns", np.int64),  # memory is reserved and a load thread works
    ("expected_ready_ns", np.int64),    # of the cold start, as expected when it began
], align=True)

MODEL = np.dtype([
    ("n_ready", np.int32),          # entries of ready[model]
    ("joining", np.int32),          # instance of the oldest cold start under way on a serving instance; -1: none
    ("n_copies", np.int32),         # READY + under way, on serving instances
    ("exists", np.int32),           # 1: the archive is in the prefix
    ("outstanding", np.int64),
    ("wish_after_ns", np.int64),    # the router may wish for another copy from then on
    ("failed_until_ns", np.int64),  # cold requests are refused until then
    ("uses", np.int64),             # requests sent anywhere, ever
    ("last_use_ns", np.int64),      # arrival of the last of them
    ("reload_disk_ns", np.int64),   # expected time from the disk to READY; this and the next: `ResidencyTable.know`
    ("reload_s3_ns", np.int64),     # from S3
    ("service_ns", np.int64),       # expected time of one request alone
], align=True)

INSTANCE = np.dtype([
    ("serving", np.int32),          # 1: in service and not draining
    ("draining", np.int32),
    ("stalled", np.int32),          # > 0: new requests are held although the copy is READY
    ("zone", np.int32),
    ("outstanding", np.int64),
    ("backlog_ns", np.int64),       # sum of the models' service_ns over the requests outstanding
    ("load_backlog_ns", np.int64),  # expected time of the cold starts under way, shared by the load threads
], align=True)

STATES = tuple(Residency)
"""Residency by number: looking a member up is cheaper than making it."""
RATE_HALF_LIFE_NS = 600_000_000_000
"""Half-life of the decayed use count (10 min: a few times a load, much less than a day)."""


def decayed(count_q16: int, at_ns: int, now_ns: int) -> tuple[int, int]:
    """Decay a Q16 count to `now_ns` in whole 1/1024 half-lives: (count_q16, time it is decayed to).

    Integers only, halving exactly and falling linearly inside a half-life, so that every data plane gets the same bits.
    """
    steps = ((now_ns - at_ns) << 10) // RATE_HALF_LIFE_NS if now_ns - at_ns < RATE_HALF_LIFE_NS << 6 else 1 << 16
    if steps == 0:
        return count_q16, at_ns
    halves = steps >> 10
    count_q16 = 0 if halves > 62 else count_q16 >> halves
    count_q16 -= (count_q16 * (steps & 1023)) >> 11
    return count_q16, (now_ns if halves > 62 else at_ns + (steps * RATE_HALF_LIFE_NS >> 10))


def columns(rows: NDArray[np.void]) -> SimpleNamespace:
    """The columns of a structured array by name: views, made once, because the control plane reads single cells."""
    assert rows.dtype.names is not None
    return SimpleNamespace(**{name: rows[name] for name in rows.dtype.names})


class ResidencyTable:
    """The shared arrays and the routing lists kept in step with them."""

    def __init__(self, n_models: int, n_instances: int) -> None:
        self.n_models = n_models
        self.n_instances = 0
        self.load_threads = 1
        self.copies: NDArray[np.void] = np.zeros(0, COPY)
        self.models: NDArray[np.void] = np.zeros(n_models, MODEL)
        self.instances: NDArray[np.void] = np.zeros(0, INSTANCE)
        self.model = columns(self.models)
        """Columns of `models`; `copy` and `instance` are those of `copies` and `instances`."""
        self.model.joining[:] = NONE
        self.model.exists[:] = 1
        self.ready: NDArray[np.int32] = np.full((n_models, 0), NONE, np.int32)
        """Instances with a READY, routable copy of each model, ascending; `n_ready` entries of each row count."""
        self.serving: NDArray[np.int32] = np.zeros(0, np.int32)
        """Instances in service and not draining, ascending."""
        self._serves: set[int] = set()
        """The same as a set, to ask whether an instance is among them."""
        self._ready: dict[int, list[int]] = {}
        """Instances with a READY copy of the model, serving or not, ascending."""
        self._cold: dict[int, list[int]] = {}
        """Instances where a cold start of the model is under way, oldest first."""
        self.grow(n_instances)

    def know(self, specs: Sequence[ModelSpec], load_threads: int) -> None:
        """What is expected of the models, and how many loads an instance does at a time; before anything happens."""
        self.load_threads = load_threads
        for name in ("reload_disk", "reload_s3", "service"):
            self.models[f"{name}_ns"] = [ns(getattr(spec, f"{name}_s")) for spec in specs]

    def know_model(self, model: int, spec: ModelSpec) -> None:
        """What is expected of one model; only while no request for it is in flight."""
        for name in ("reload_disk", "reload_s3", "service"):
            self.models[f"{name}_ns"][model] = ns(getattr(spec, f"{name}_s"))

    def grow(self, n_instances: int) -> None:
        """Make room for more instance slots; row numbers of existing copies stay."""
        more = n_instances - self.n_instances
        assert more >= 0
        self.copies = np.concatenate([self.copies, np.zeros(more * self.n_models, COPY)])
        self.instances = np.concatenate([self.instances, np.zeros(more, INSTANCE)])
        self.ready = np.hstack([self.ready, np.full((self.n_models, more), NONE, np.int32)])
        self.copy, self.instance = columns(self.copies), columns(self.instances)
        self.n_instances = n_instances

    def row(self, instance: int, model: int) -> int:
        """Row number of a copy."""
        return instance * self.n_models + model

    def state(self, instance: int, model: int) -> Residency:
        """Where the model stands on the instance."""
        number: int = self.copy.state.item(instance * self.n_models + model)
        return STATES[number]

    def advance(self, instance: int, model: int, cause: str) -> Residency:
        """Apply one transition of the lifecycle table and keep the routing lists in step."""
        row = instance * self.n_models + model
        before = STATES[self.copy.state.item(row)]
        after = advance(before, cause)
        self.copy.state[row] = after
        if after is Residency.READY:
            insort(self._ready.setdefault(model, []), instance)
            self._list_ready(model)
        elif before is Residency.READY:
            self._ready[model].remove(instance)
            self._list_ready(model)
        return after

    def clear(self, instance: int) -> None:
        """The instance is gone: nothing is there any more, and nothing is remembered of it."""
        rows = slice(instance * self.n_models, (instance + 1) * self.n_models)
        for model in np.flatnonzero(self.copy.state[rows] == Residency.READY).tolist():
            self._ready[model].remove(instance)
        for column in ("state", "watch", "uses", "last_use_ns", "rate_q16", "rate_at_ns"):
            self.copies[column][rows] = 0
        self.instance.draining[instance] = 0
        self.instance.stalled[instance] = 0

    def cold_started(self, instance: int, model: int) -> None:
        """A cold start is under way: requests may join it. Its `tier` and `requested_ns` are written before."""
        row = self.row(instance, model)
        reload_ns, ahead_ns = self._reload_ns(row, model), self.instance.load_backlog_ns.item(instance)
        self.copy.cold[row] = 1
        self.copy.expected_ready_ns[row] = self.copy.requested_ns.item(row) + ahead_ns + reload_ns
        self.instance.load_backlog_ns[instance] = ahead_ns + reload_ns // self.load_threads
        self._cold.setdefault(model, []).append(instance)
        self._list_cold(model)

    def cold_ended(self, instance: int, model: int) -> None:
        """The cold start is over, whatever its end."""
        row = self.row(instance, model)
        self.copy.cold[row] = 0
        self.instance.load_backlog_ns[instance] -= self._reload_ns(row, model) // self.load_threads
        self._cold[model].remove(instance)
        if not self._cold[model]:
            del self._cold[model]
        self._list_cold(model)

    def _reload_ns(self, row: int, model: int) -> int:
        """Expected time of the cold start from where it began."""
        reload = self.model.reload_s3_ns if self.copy.tier.item(row) == Tier.S3 else self.model.reload_disk_ns
        return int(reload.item(model))

    def set_serving(self, instance: int, serving: bool) -> None:
        """Put an instance into, or take it out of, the router's sight."""
        self.instance.serving[instance] = serving
        self.serving = np.flatnonzero(self.instance.serving).astype(np.int32)
        self._serves = set(self.serving.tolist())
        first = instance * self.n_models
        present = self.copy.state[first:first + self.n_models] == Residency.READY
        for model in np.flatnonzero(present).tolist():
            self._list_ready(model)
        for model, where in self._cold.items():
            if instance in where:
                self._list_cold(model)

    def _list_ready(self, model: int) -> None:
        where = [i for i in self._ready[model] if i in self._serves]
        if where:
            self.ready[model, :len(where)] = where
        self.model.n_ready[model] = len(where)
        self._count_copies(model, len(where))

    def _list_cold(self, model: int) -> None:
        joining = next((i for i in self._cold.get(model, ()) if i in self._serves), NONE)
        self.model.joining[model] = joining
        self._count_copies(model, self.model.n_ready.item(model))

    def _count_copies(self, model: int, n_ready: int) -> None:
        cold = self._cold.get(model)
        self.model.n_copies[model] = n_ready + (sum(i in self._serves for i in cold) if cold else 0)
