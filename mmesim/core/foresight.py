"""The requests to come, for clairvoyant policies: only a simulation can know them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmesim.core.types import NEVER_NS


class Future:
    """When each model is asked for next. Memory grows with the number of requests (16 bytes each)."""

    def __init__(self, t_ns: NDArray[np.int64], model: NDArray[np.int32]) -> None:
        """`t_ns` (n,) ascending, `model` (n,): every request of the run."""
        n = len(t_ns)
        self._t_ns = t_ns
        self._n = max(n, 1)
        self._asked = np.sort(model.astype(np.int64) * self._n + np.arange(n))  # (model, number of the request) as one

    def next_use_ns(self, model: NDArray[np.int64], now_ns: int) -> NDArray[np.int64]:
        """For each of these models the first request after `now_ns`; NEVER_NS where none comes."""
        if not len(self._t_ns):
            return np.full(len(model), NEVER_NS, np.int64)
        passed = int(np.searchsorted(self._t_ns, now_ns, side="right"))
        found = np.searchsorted(self._asked, model * self._n + passed)
        at = self._asked[np.minimum(found, self._n - 1)]
        comes = (found < self._n) & (at // self._n == model)
        return np.where(comes, self._t_ns[at % self._n], NEVER_NS)
