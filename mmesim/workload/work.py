"""How much work a request is, relative to its model's profile: one law per model, mean 1, in Q16 fixed point.

Each law draws from a stream of its own, named by the law, in the order of the requests it serves; a constant
law draws nothing. Chunk sizes and the other laws therefore change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmesim.core.distribution import Distribution
from mmesim.core.streams import stream
from mmesim.workload.types import WORK_ONE, WorkloadModel


def to_q16(work: NDArray[np.float64]) -> NDArray[np.int64]:
    """Relative work as Q16, to the nearest and at least 1."""
    return np.maximum(np.rint(work * WORK_ONE), 1).astype(np.int64)


def law_name(law: Distribution) -> str:
    """The name of the law's stream: equal laws are one law."""
    return f"{law.law} {law.mean!r} {law.cv!r} {law.low!r} {law.high!r}"


class Works:
    """Draws the work of requests by their models."""

    def __init__(self, models: Sequence[WorkloadModel], seed: int, *names: str | int) -> None:
        laws, self._law_of = laws_of(models)
        self._laws = [(law, stream(seed, *names, "work", law_name(law))) for law in laws]

    def draw(self, model: NDArray[np.int32]) -> NDArray[np.int64]:
        """Work in Q16 for requests to these models."""
        if len(self._laws) == 1:
            return draw_q16(*self._laws[0], len(model))
        work = np.empty(len(model), dtype=np.int64)
        law_of = self._law_of[model]
        for index, (law, rng) in enumerate(self._laws):
            rows = np.flatnonzero(law_of == index)
            work[rows] = draw_q16(law, rng, len(rows))
        return work


def laws_of(models: Sequence[WorkloadModel]) -> tuple[list[Distribution], NDArray[np.intp]]:
    """The distinct laws, and for each model which of them."""
    laws = list(dict.fromkeys(model.service_law for model in models))
    place = {law: index for index, law in enumerate(laws)}
    return laws, np.array([place[model.service_law] for model in models], dtype=np.intp)


def draw_q16(law: Distribution, rng: np.random.Generator, n: int) -> NDArray[np.int64]:
    """`n` works in Q16; a constant law draws nothing."""
    if law.is_constant:
        return np.full(n, max(1, round(law.mean * WORK_ONE)), dtype=np.int64)
    return to_q16(law.sample(rng, n))
