"""Workloads for tests: lists of requests, and users whose draws come from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmesim.workload.types import BLOCK, Arrivals


class ListSource:
    """Given arrivals, in chunks."""

    def __init__(self, arrivals: Arrivals, chunk: int = 100_000) -> None:
        self._chunks = [arrivals[slice(at, at + chunk)] for at in range(0, len(arrivals), chunk)]

    def next_chunk(self) -> Arrivals | None:
        """See the protocol."""
        return self._chunks.pop(0) if self._chunks else None


def open_arrivals(t_ns: NDArray[np.int64], model: NDArray[np.int64] | int = 0, items: NDArray[np.int64] | int = 1,
                  work_q16: NDArray[np.int64] | int = 1 << 16) -> Arrivals:
    """Arrivals from arrays or constants."""
    ones = np.ones(len(t_ns), np.int64)
    return Arrivals(t_ns.astype(np.int64), (ones * model).astype(np.int32), (ones * items).astype(np.int32),
                    (ones * work_q16).astype(np.int64))


@dataclass
class SeededUsers:
    """Closed-loop users; think times are `think` ticks of `tick_ns` and more, at random."""

    n_users: int
    items: int
    start_ns: NDArray[np.int64]
    stop_ns: NDArray[np.int64]
    seed: int
    n_models: int
    think_ticks: int
    tick_ns: int

    def draws(self, user: int, block: int) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        """See the protocol."""
        rng = np.random.default_rng([self.seed, user, block])
        model = rng.integers(0, self.n_models, BLOCK).astype(np.int32)
        think_ns = (rng.integers(1, self.think_ticks + 1, BLOCK) * self.tick_ns).astype(np.int64)
        work = rng.integers(1, 1 << 17, BLOCK).astype(np.int64)
        return model, think_ns, work
