"""S3-FIFO."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mmesim.core.policy import Candidate, Candidates, EvictionPolicy
from mmesim.policies.eviction.small_main import MAIN, NO_LIMIT, SMALL, SmallAndMain


@dataclass
class S3Fifo(EvictionPolicy):
    """New copies prove themselves in a small queue; only those used often enough there move to the main one.

    Yang et al., "FIFO queues are all you need for cache eviction" (SOSP 2023). Room is made in the main queue when it
    holds more than its share or the small one is empty, else in the small one. From the small one a copy with
    `threshold` uses moves to the main one, another leaves and is remembered in the ghost; from the main one a copy
    with uses goes round again with one use less, another leaves. Uses count up to 3, the request that brought the copy
    in not among them. What the ghost remembers goes straight to the main queue. Shares are of the memory's bytes; the
    small queue has room for at least the largest model, else nothing would ever be admitted to a cache of a few models.
    """

    name: ClassVar[str] = "s3fifo"

    small_fraction: float = 0.1
    """The small queue's share of the memory."""
    ghost_fraction: float = 0.9
    """Bytes of evicted models that are remembered, as a share of the memory."""
    threshold: int = 2
    """Uses in the small queue that make a copy move to the main one."""
    fill_main: bool = False
    """true: until the first eviction, what does not fit into the small queue goes to the main one (libCacheSim since
    December 2024); false: the paper's rule."""

    _queues: dict[int, SmallAndMain] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.small_fraction < 1:
            raise ValueError(f"small_fraction is {self.small_fraction:g}; it must be between 0 and 1")
        if self.ghost_fraction < 0:
            raise ValueError(f"ghost_fraction is {self.ghost_fraction:g}; it cannot be below 0")
        if not 1 <= self.threshold <= 3:
            raise ValueError(f"threshold is {self.threshold}; uses are counted up to 3, so it must be 1, 2 or 3")

    def loaded(self, instance: int, model: int, now_ns: int) -> None:
        """It comes; which queue it joins is found out when room is needed."""
        self._of(instance).come(model)

    def removed(self, instance: int, model: int, now_ns: int) -> None:
        """It is in no queue any more."""
        self._of(instance).leave(model)

    def victims(self, candidates: Candidates, need_bytes: int, now_ns: int) -> Iterable[Candidate]:
        """One after the other, each from the queue whose turn it is then."""
        here = self._of(candidates.instance)
        capacity_bytes = here.read(candidates)
        small_bytes = max(int(capacity_bytes * self.small_fraction), here.largest_bytes)
        here.settle(candidates, small_bytes if self.fill_main else NO_LIMIT)
        here.ghost_bytes = int(capacity_bytes * self.ghost_fraction)
        models = candidates.model
        candidates.tell(queue=here.queue.array(0)[models], uses_left=here.count.array(0)[models],
                        position=here.position.array(0)[models])
        left = np.ones(len(models), np.bool_)
        while left.any():
            victim = self._next(here, models[left], capacity_bytes - small_bytes)
            row = int(np.argmax(models == victim))
            left[row] = False
            yield candidates[row]

    def _next(self, here: SmallAndMain, models: NDArray[np.int64], main_bytes: int) -> int:
        """The next victim among these models, after the moves that lead to it."""
        while True:
            queue = here.queue.array(0)[models]
            small, main = models[queue == SMALL], models[queue == MAIN]
            if not len(small) or (len(main) and here.bytes_in[MAIN] > main_bytes):
                return here.from_main(main)
            victim = here.from_small(small, self.threshold)
            if victim is not None:
                return victim

    def _of(self, instance: int) -> SmallAndMain:
        return self._queues.setdefault(instance, SmallAndMain())
