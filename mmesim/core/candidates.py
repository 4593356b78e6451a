"""The models that could leave a memory or a disk, as an eviction policy sees them, and what it told of its choice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mmesim.core.ledger import Ledger
from mmesim.core.rates import RATE_PER_COUNT, rates_rps
from mmesim.core.residency import RATE_HALF_LIFE_NS, ResidencyTable
from mmesim.core.types import ModelSpec


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model that could leave, as an eviction policy sees it."""

    instance: int
    model: int
    spec: ModelSpec
    size_bytes: int
    """What its leaving frees."""
    last_use_ns: int
    uses: int
    """Requests since it became READY (for the disk: since then too)."""
    rate_rps: float
    """Decayed request rate on this instance."""
    since_ns: int
    """READY since (for the disk: extracted at)."""
    reload_s: float
    """Expected time to bring it back."""


class Candidates(Sequence[Candidate]):
    """The models that could leave, in columns and as a sequence of :class:`Candidate`; in no particular order."""

    def __init__(self, instance: int, specs: Sequence[ModelSpec], model: NDArray[np.int64],
                 size_bytes: NDArray[np.int64], last_use_ns: NDArray[np.int64], uses: NDArray[np.int64],
                 rate_rps: NDArray[np.float64], since_ns: NDArray[np.int64], reload_s: NDArray[np.float64],
                 capacity_bytes: int = 0) -> None:
        self.instance = instance
        self.specs = specs
        self.model = model
        self.size_bytes = size_bytes
        self.last_use_ns = last_use_ns
        self.uses = uses
        self.rate_rps = rate_rps
        self.since_ns = since_ns
        self.reload_s = reload_s
        self.capacity_bytes = capacity_bytes
        """Of the memory or disk that they fill, others included; 0: not known."""
        self.told: dict[str, NDArray[np.generic]] = {}
        self.order: Sequence[NDArray[np.generic]] = ()
        """The keys they were last asked for in order of."""

    def tell(self, **columns: NDArray[np.generic]) -> None:
        """Say by which numbers (one for each candidate, in their order) the policy decides: `mmesim explain` shows
        them. Has no other effect."""
        self.told.update(columns)

    def __len__(self) -> int:
        return len(self.model)

    def __getitem__(self, position):  # type: ignore[no-untyped-def]
        assert not isinstance(position, slice), "candidates are taken one by one"
        model = int(self.model[position])
        return Candidate(self.instance, model, self.specs[model], int(self.size_bytes[position]),
                         int(self.last_use_ns[position]), int(self.uses[position]), float(self.rate_rps[position]),
                         int(self.since_ns[position]), float(self.reload_s[position]))

    def ordered(self, *keys: NDArray[np.generic], **named: NDArray[np.generic]) -> Iterator[Candidate]:
        """Candidates by ascending keys (the first key counts most), ties by model number. Named keys are told."""
        self.told.update(named)
        if not len(self.model):
            return
        self.order = keys = (*keys, *named.values(), self.model)
        first = _least(keys)
        yield self[first]
        for position in np.lexsort(keys[::-1]).tolist():
            if position != first:
                yield self[position]


def _least(keys: Sequence[NDArray[np.generic]]) -> int:
    """Position of the least row: most often it is the only one wanted, and a sort would be wasted."""
    positions = np.flatnonzero(keys[0] == keys[0].min())
    for key in keys[1:]:
        if len(positions) == 1:
            break
        tied = key[positions]
        positions = positions[tied == tied.min()]
    return int(positions[0])


class CopyCandidates(Candidates):
    """Candidates read from the residency table, column by column as a policy asks for them."""

    def __init__(self, table: ResidencyTable, instance: int, specs: Sequence[ModelSpec], model: NDArray[np.int64],
                 ledger: Ledger, since: str, reload_s: Sequence[float], now_ns: int) -> None:
        self.instance = instance
        self.specs = specs
        self.model = model
        self._copy = table.copy
        self._rows = model + instance * table.n_models
        self._accounts = ledger.accounts
        self.capacity_bytes = ledger.capacity_bytes
        self._since = since
        self._reload_s = reload_s
        self._now_ns = now_ns
        self.told = {}
        self.order = ()
        self.held_back: tuple[int, ...] = ()
        """READY copies that may not leave, kept to explain the decision."""

    def __getitem__(self, position: int) -> Candidate:  # type: ignore[override]
        model, row = int(self.model[position]), int(self._rows[position])
        copy = self._copy
        age = (self._now_ns - copy.rate_at_ns.item(row)) / RATE_HALF_LIFE_NS
        return Candidate(self.instance, model, self.specs[model], self._accounts[model], copy.last_use_ns.item(row),
                         copy.uses.item(row), copy.rate_q16.item(row) * 2.0 ** -age * RATE_PER_COUNT,
                         getattr(copy, self._since).item(row), self._reload_s[model])

    @cached_property
    def size_bytes(self) -> NDArray[np.int64]:  # type: ignore[override]
        return np.array([self._accounts[model] for model in self.model.tolist()], np.int64)

    @cached_property
    def last_use_ns(self) -> NDArray[np.int64]:  # type: ignore[override]
        return self._column("last_use_ns")

    @cached_property
    def uses(self) -> NDArray[np.int64]:  # type: ignore[override]
        return self._column("uses")

    @cached_property
    def rate_rps(self) -> NDArray[np.float64]:  # type: ignore[override]
        return rates_rps(self._column("rate_q16"), self._column("rate_at_ns"), self._now_ns)

    def shown(self, positions: NDArray[np.intp]) -> dict[str, Sequence[float]]:
        """What is kept of these candidates to explain a decision: what the journal does not tell of them anyhow, and is
        cheap to write (a rate costs as much as all the rest)."""
        rows = self._rows[positions]
        return {"model": self.model[positions].tolist(), "last_use_ns": self._copy.last_use_ns[rows].tolist(),
                "uses": self._copy.uses[rows].tolist()}

    def _column(self, name: str) -> NDArray[np.int64]:
        column: NDArray[np.int64] = getattr(self._copy, name)[self._rows]
        column.flags.writeable = False
        return column

    @cached_property
    def since_ns(self) -> NDArray[np.int64]:  # type: ignore[override]
        return self._column(self._since)

    @cached_property
    def reload_s(self) -> NDArray[np.float64]:  # type: ignore[override]
        return np.array([self._reload_s[model] for model in self.model.tolist()], np.float64)
