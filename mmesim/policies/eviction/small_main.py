"""The queues of S3-FIFO in one memory: small, main, and the ghost of what was evicted from the small one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmesim.core.policy import Candidates
from mmesim.policies.eviction.copies import Column, new_uses
from mmesim.policies.eviction.queue import Queue

OUT, NEW, SMALL, MAIN = 0, 1, 2, 3
"""Where a model stands. NEW: it has come, and was never seen idle since."""
MOST_USES = 3
NO_LIMIT = 1 << 62


class SmallAndMain(Queue):
    """Both queues are told apart by `queue`; positions grow with each move to an end."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Column(np.int64)
        self.count = Column(np.int64)
        self.size_bytes = Column(np.int64)
        self.bytes_in = [0, 0, 0, 0]
        """Of each queue."""
        self.largest_bytes = 0
        self.ghost: dict[int, int] = {}
        """Bytes of models that were evicted from the small queue, the oldest first."""
        self.ghost_bytes = 0
        """The most that it holds."""
        self._ghost_holds = 0
        self._new: dict[int, bool] = {}
        """NEW models in order of arrival; True: the ghost remembered them."""
        self._evicted = False

    def come(self, model: int) -> None:
        """A copy is here. The ghost forgets what was asked for again, and then what it cannot hold any more."""
        self.leave(model)
        self.add(model)
        self.count[model] = 0
        self.queue[model] = NEW
        remembered = model in self.ghost
        self._new[model] = remembered
        if remembered:
            self._ghost_holds -= self.ghost.pop(model)
        while self._ghost_holds > self.ghost_bytes:
            self._ghost_holds -= self.ghost.pop(next(iter(self.ghost)))

    def leave(self, model: int) -> None:
        """A copy is not here any more."""
        self.remove(model)
        self.bytes_in[self.queue[model]] -= self.size_bytes[model]
        self.queue[model] = OUT
        self._new.pop(model, None)

    def read(self, candidates: Candidates) -> int:
        """Take account of the candidates' sizes and new uses; returns the memory's capacity in bytes."""
        models, n = candidates.model, len(candidates.specs)
        self.positions(candidates)
        queue, size = self.queue.array(n), self.size_bytes.array(n)
        seen, count = self.seen.array(n), self.count.array(n)
        for model in models[queue[models] == OUT].tolist():
            self.queue[model] = NEW
            self._new[model] = False
        size[models] = np.where(queue[models] == NEW, candidates.size_bytes, size[models])
        count[models] = np.minimum(MOST_USES, count[models] + new_uses(candidates.uses, seen[models]))
        seen[models] = candidates.uses
        self.largest_bytes = max(self.largest_bytes, int(candidates.size_bytes.max(initial=0)))
        return max(candidates.capacity_bytes, int(candidates.size_bytes.sum()))

    def settle(self, candidates: Candidates, fill_bytes: int) -> None:
        """What has come since the last time joins its queue: small, or main when the ghost remembered it, or when the
        small one holds `fill_bytes` and nothing was ever evicted. What has been busy ever since it came joins later."""
        if self._new:
            idle = set(candidates.model.tolist())
            for model in [model for model in self._new if model in idle]:
                full = not self._evicted and self.bytes_in[SMALL] >= fill_bytes
                self._join(MAIN if self._new.pop(model) or full else SMALL, model)
        self._evicted = True

    def from_small(self, models: NDArray[np.int64], threshold: int) -> int | None:
        """The oldest of these that was used too little; older ones move on. None: all of them have moved on."""
        models = models[np.argsort(self.position.array(0)[models])]
        stays = self.count.array(0)[models] >= threshold
        at = int(np.argmin(stays))
        victim = None if stays[at] else int(models[at])
        for model in models[:at if victim is not None else None].tolist():
            self._join(MAIN, model)
            self.count[model] = 0
        if victim is not None:
            self._ghost_holds += self.size_bytes[victim] - self.ghost.pop(victim, 0)
            self.ghost[victim] = self.size_bytes[victim]
        return victim

    def from_main(self, models: NDArray[np.int64]) -> int:
        """The oldest of these without a use left; older ones go round with one use less."""
        models = models[np.argsort(self.position.array(0)[models])]
        while True:
            count = self.count.array(0)
            used = count[models] > 0
            at = int(np.argmin(used)) if not used.all() else len(models)
            count[models[:at]] -= 1
            for model in models[:at].tolist():
                self._go_last(model)
            if at < len(models):
                return int(models[at])

    def _join(self, queue: int, model: int) -> None:
        """Move to the end of a queue."""
        before = self.queue[model]
        if before != NEW:
            self.bytes_in[before] -= self.size_bytes[model]
            self._go_last(model)
        self.bytes_in[queue] += self.size_bytes[model]
        self.queue[model] = queue

    def _go_last(self, model: int) -> None:
        self.newest += 1
        self.position[model] = self.newest
