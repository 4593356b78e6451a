"""Pinning: models that never leave."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mmesim.core.policy import Candidates
from mmesim.core.types import NEVER_NS
from mmesim.policies.eviction.wrapping import Wrapping


@dataclass
class Pinning(Wrapping):
    """Models with certain names never leave; another policy decides among the others.

    What operators do by hand with models that must always answer at once. Unlike a model's `pin: true` nothing is
    loaded for it. A load that would need a pinned model's room waits for another copy to become idle.
    """

    name: ClassVar[str] = "pinning"

    models: tuple[str, ...] = ()
    """Names, or shell patterns such as bert-*."""

    _pinned: dict[int, bool] = field(init=False, default_factory=dict, repr=False)

    def held(self, candidates: Candidates, now_ns: int) -> NDArray[np.bool_]:
        """Those whose name matches."""
        return np.array([self._is_pinned(model, candidates) for model in candidates.model.tolist()], np.bool_)

    def expires_ns(self, instance: int, model: int, touched_ns: int) -> int:
        """Never, for a pinned model that has been seen; a keep-alive holds for the others."""
        return NEVER_NS if self._pinned.get(model) else self.around.expires_ns(instance, model, touched_ns)

    def _is_pinned(self, model: int, candidates: Candidates) -> bool:
        if model not in self._pinned:
            name = candidates.specs[model].name
            self._pinned[model] = any(fnmatchcase(name, pattern) for pattern in self.models)
        return self._pinned[model]
