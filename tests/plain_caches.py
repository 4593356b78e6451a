"""A plain cache simulator: textbook rules on a list of requests, one object at a time, with nothing else in the world.

Written without a look at the policies under test: objects of different sizes, evict until the new one fits, never admit
what is larger than the cache. Each rule is a class with `hit(key)`, `insert(key)` and `evict() -> key`.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Sequence
from itertools import count
from typing import Protocol


class Rule(Protocol):
    """A replacement rule."""

    def ask(self, key: int, at: int) -> None:
        """The request number `at` is for `key`; told before anything else."""

    def hit(self, key: int) -> None:
        """It is in the cache."""

    def insert(self, key: int) -> None:
        """It comes in."""

    def evict(self) -> int:
        """What leaves."""


def plain_hits(requests: Sequence[int], sizes: Sequence[int], capacity: int, rule: Rule) -> int:
    """Hits of a rule."""
    cache: set[int] = set()
    used = found = 0
    for at, key in enumerate(requests):
        rule.ask(key, at)
        if key in cache:
            found += 1
            rule.hit(key)
            continue
        if sizes[key] > capacity:
            continue
        while used + sizes[key] > capacity:
            victim = rule.evict()
            cache.remove(victim)
            used -= sizes[victim]
        cache.add(key)
        used += sizes[key]
        rule.insert(key)
    return found


class Fifo:
    """Oldest first."""

    def __init__(self) -> None:
        self.queue: OrderedDict[int, int] = OrderedDict()

    def ask(self, key: int, at: int) -> None:
        pass

    def hit(self, key: int) -> None:
        pass

    def insert(self, key: int) -> None:
        self.queue[key] = 0

    def evict(self) -> int:
        return self.queue.popitem(last=False)[0]


class Lru(Fifo):
    """Least recently used first."""

    def hit(self, key: int) -> None:
        self.queue.move_to_end(key)


class Sieve(Fifo):
    """The hand walks from the oldest to the newest."""

    def __init__(self) -> None:
        self.keys: list[int] = []
        self.visited: set[int] = set()
        self.hand = 0

    def hit(self, key: int) -> None:
        self.visited.add(key)

    def insert(self, key: int) -> None:
        self.keys.append(key)

    def evict(self) -> int:
        while self.keys[self.hand] in self.visited:
            self.visited.remove(self.keys[self.hand])
            self.hand = (self.hand + 1) % len(self.keys)
        victim = self.keys.pop(self.hand)
        if self.hand == len(self.keys):
            self.hand = 0
        return victim


class Ranked(Fifo):
    """The smallest key leaves; ties by the order in which the keys were given (or by last touch: the same)."""

    def __init__(self) -> None:
        self.heap: list[tuple[float, int, int]] = []
        self.key_of: dict[int, tuple[float, int, int]] = {}
        self.order = count()
        self.evicted_at = 0.0

    def rank(self, key: int, value: float) -> None:
        self.key_of[key] = (value, next(self.order), key)
        heapq.heappush(self.heap, self.key_of[key])

    def evict(self) -> int:
        while True:
            entry = heapq.heappop(self.heap)
            if self.key_of.get(entry[2]) == entry:
                self.evicted_at = self.key_of.pop(entry[2])[0]
                return entry[2]


class Greedy(Ranked):
    """L + count · worth, where `ages` is False L stays 0 (LFU)."""

    def __init__(self, worth: Sequence[float] | None = None, ages: bool = True) -> None:
        super().__init__()
        self.worth, self.ages, self.clock = worth, ages, 0.0
        self.uses: dict[int, int] = {}

    def hit(self, key: int) -> None:
        self.uses[key] += 1
        self.rank(key, self.clock + self.uses[key] * (1.0 if self.worth is None else self.worth[key]))

    def insert(self, key: int) -> None:
        self.uses[key] = 0
        self.hit(key)

    def evict(self) -> int:
        victim = super().evict()
        self.clock = self.evicted_at if self.ages else 0.0
        return victim


class Lru2(Fifo):
    """LRU-2 without a correlated period; history is never forgotten."""

    def __init__(self) -> None:
        self.last: dict[int, tuple[int, int]] = {}
        self.inside: set[int] = set()

    def ask(self, key: int, at: int) -> None:
        self.last[key] = (self.last.get(key, (0, -1))[1], at)

    def insert(self, key: int) -> None:
        self.inside.add(key)

    def evict(self) -> int:
        victim = min(self.inside, key=lambda key: (self.last[key], key))
        self.inside.remove(victim)
        return victim


class Belady(Ranked):
    """The farthest next request leaves; of those that never come again any (the order is not Belady's)."""

    def __init__(self, requests: Sequence[int]) -> None:
        super().__init__()
        self.next_at = [0] * len(requests)
        self.at = 0
        seen: dict[int, int] = {}
        for at in range(len(requests) - 1, -1, -1):
            self.next_at[at] = seen.get(requests[at], 1 << 60)
            seen[requests[at]] = at

    def ask(self, key: int, at: int) -> None:
        self.at = at

    def hit(self, key: int) -> None:
        self.rank(key, -self.next_at[self.at])

    insert = hit


class S3Fifo(Fifo):
    """Small, main and ghost queues by bytes; the small one has room for the largest object. With `fill_main` what
    does not fit into it goes to the main one until the first eviction."""

    def __init__(self, sizes: Sequence[int], capacity: int, fill_main: bool = False) -> None:
        self.sizes, self.fill_main = sizes, fill_main
        self.small_most = max(int(capacity * 0.1), *sizes)
        self.main_most, self.ghost_most = capacity - self.small_most, int(capacity * 0.9)
        self.small: deque[int] = deque()
        self.main: deque[int] = deque()
        self.ghost: OrderedDict[int, int] = OrderedDict()
        self.uses: dict[int, int] = {}
        self.bytes = {"small": 0, "main": 0, "ghost": 0}
        self.remembered = self.evicted = False

    def ask(self, key: int, at: int) -> None:
        self.remembered = self.ghost.pop(key, 0) > 0
        self.bytes["ghost"] -= self.sizes[key] if self.remembered else 0

    def hit(self, key: int) -> None:
        self.uses[key] = min(3, self.uses[key] + 1)

    def insert(self, key: int) -> None:
        self.uses[key] = 0
        full = self.fill_main and not self.evicted and self.bytes["small"] >= self.small_most
        self._push("main" if self.remembered or full else "small", key)

    def evict(self) -> int:
        self.evicted = True
        victim = None
        while victim is None:
            from_main = self.bytes["main"] > self.main_most or not self.small
            victim = self._from_main() if from_main else self._from_small()
        return victim

    def _from_small(self) -> int | None:
        while self.small:
            key = self._pop("small")
            if self.uses[key] < 2:
                self.ghost[key] = self.sizes[key]
                self.bytes["ghost"] += self.sizes[key]
                while self.bytes["ghost"] > self.ghost_most:
                    self.bytes["ghost"] -= self.ghost.popitem(last=False)[1]
                return key
            self.uses[key] = 0
            self._push("main", key)
        return None

    def _from_main(self) -> int:
        while self.uses[key := self._pop("main")]:
            self.uses[key] -= 1
            self._push("main", key)
        return key

    def _push(self, queue: str, key: int) -> None:
        getattr(self, queue).append(key)
        self.bytes[queue] += self.sizes[key]

    def _pop(self, queue: str) -> int:
        key: int = getattr(self, queue).popleft()
        self.bytes[queue] -= self.sizes[key]
        return key
