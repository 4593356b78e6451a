"""What policies share that hold some copies back and leave the rest to another policy."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmesim.core.policy import Candidate, Candidates, EvictionPolicy
from mmesim.policies.eviction.lru import Lru


class Some(Candidates):
    """Some of the candidates, column by column as they are asked for. What is told of them is told of the whole, with
    `held` before all else; of the others it says 0."""

    def __init__(self, whole: Candidates, rows: NDArray[np.bool_]) -> None:
        self.instance, self.specs, self.capacity_bytes = whole.instance, whole.specs, whole.capacity_bytes
        self.model = whole.model[rows]
        self.told = {}
        self.order = ()
        self._whole = whole
        self._rows = np.flatnonzero(rows)

    def __getattr__(self, name: str) -> NDArray[np.generic]:
        if name not in ("size_bytes", "last_use_ns", "uses", "rate_rps", "since_ns", "reload_s"):
            raise AttributeError(name)
        column: NDArray[np.generic] = getattr(self._whole, name)[self._rows]
        setattr(self, name, column)
        return column

    def __getitem__(self, position: int) -> Candidate:  # type: ignore[override]
        candidate: Candidate = self._whole[int(self._rows[position])]
        return candidate

    def pass_on(self) -> None:
        """Tell the whole what was told of some."""
        n = len(self._whole)
        told: dict[str, NDArray[np.generic]] = {name: np.zeros(n, key.dtype) for name, key in self.told.items()}
        for name, column in told.items():
            column[self._rows] = self.told[name]
        held = np.ones(n, np.bool_)
        held[self._rows] = False
        self._whole.tell(**{"held": held, **told})


@dataclass
class Wrapping(EvictionPolicy):
    """Base of policies around another one, which decides among what they do not hold back."""

    around: EvictionPolicy = field(default_factory=Lru)
    """The policy that decides about the rest."""

    @abstractmethod
    def held(self, candidates: Candidates, now_ns: int) -> NDArray[np.bool_]:
        """True for each candidate that may not leave now."""

    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        """Those of the inner policy, to which the others do not exist."""
        some = Some(candidates, ~self.held(candidates, now_ns))
        told = False
        for victim in self.around.victims(some, need_bytes, now_ns):
            if not told:
                some.pass_on()
                told = True
            yield victim
        if not told:
            some.pass_on()

    def loaded(self, instance: int, model: int, now_ns: int) -> None:
        """The inner policy keeps its own list."""
        self.around.loaded(instance, model, now_ns)

    def removed(self, instance: int, model: int, now_ns: int) -> None:
        """The inner policy keeps its own list."""
        self.around.removed(instance, model, now_ns)

    def expires_ns(self, instance: int, model: int, touched_ns: int) -> int:
        """When the inner policy says."""
        return self.around.expires_ns(instance, model, touched_ns)

    def when_short(self, candidates: Candidates, now_ns: int) -> int:
        """What the inner policy says of those it was offered."""
        return self.around.when_short(Some(candidates, ~self.held(candidates, now_ns)), now_ns)
