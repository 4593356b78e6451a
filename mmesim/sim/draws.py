"""Random quantities of the world, so that one policy's choices do not shift another component's luck.

Each purpose has one stream per key (a model, say): the k-th download of a model meets the k-th first-byte latency of
that model, whatever happens to the others. Comparisons of policies then share their random numbers as far as their
histories agree (common random numbers).
"""

from __future__ import annotations

from mmesim.core.distribution import Distribution
from mmesim.sim.hub import Hub

BLOCK = 16
"""Draws taken from a stream at once; the numbers are the same as one by one."""


class Draws:
    """The draws of one law, in order, for each key."""

    def __init__(self, hub: Hub, law: Distribution, purpose: str) -> None:
        self._stream = hub.stream
        self._law = law
        self._purpose = purpose
        self._streams: dict[int, tuple[object, list[float]]] = {}

    def next(self, key: int) -> float:
        """The next draw of `key`, in the law's unit."""
        if self._law.is_constant:
            return self._law.mean
        if key not in self._streams:
            self._streams[key] = (self._stream(self._purpose, key), [])
        stream, block = self._streams[key]
        if not block:
            block.extend(self._law.sample(stream, BLOCK)[::-1].tolist())
        return block.pop()
