"""Random quantities of the world, so that one policy's choices do not shift another component's luck.

Draws are counted per key (a model, say): the k-th download of a model meets the k-th first-byte latency of that model,
whatever happens to the others. Comparisons of policies then share their random numbers as far as their histories agree
(common random numbers). The draws of neighbouring keys come from one stream, a table at a time, because making a stream
costs more than drawing from it.
"""

from __future__ import annotations

from mmesim.core.distribution import Distribution
from mmesim.sim.hub import Hub

KEYS = 64
"""Neighbouring keys whose draws stand in one table."""
BLOCK = 16
"""Draws of each key in one table."""


class Draws:
    """The draws of one law, in order, for each key."""

    def __init__(self, hub: Hub, law: Distribution, purpose: str) -> None:
        self._stream = hub.stream
        self._law = law
        self._purpose = purpose
        self._drawn: dict[int, int] = {}
        """How many draws each key has had."""
        self._tables: dict[tuple[int, int], list[list[float]]] = {}

    def next(self, key: int) -> float:
        """The next draw of `key`, in the law's unit."""
        if self._law.is_constant:
            return self._law.mean
        k = self._drawn.get(key, 0)
        self._drawn[key] = k + 1
        where = key // KEYS, k // BLOCK
        table = self._tables.get(where)
        if table is None:
            table = self._tables[where] = self._table(*where)
        return table[key % KEYS][k % BLOCK]

    def _table(self, keys: int, block: int) -> list[list[float]]:
        rows: list[list[float]] = self._law.sample(self._stream(self._purpose, keys, block),
                                                   KEYS * BLOCK).reshape(KEYS, BLOCK).tolist()
        return rows
