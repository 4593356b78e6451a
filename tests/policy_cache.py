"""One cache around a policy object, without a simulator: instant loads, one request at a time, and who left.

What the policies see is what the controller shows them (`test_policies_eviction_caches.py` has both decide the same).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmesim.core.foresight import Future
from mmesim.core.policy import Candidates, ClairvoyantEviction, EvictionPolicy, parts
from mmesim.core.residency import RATE_HALF_LIFE_NS
from mmesim.core.streams import stream
from mmesim.policies.registry import resolve
from mmesim.testing.views import model_spec

S = 1_000_000_000


@dataclass
class PolicyCache:
    """Requests go in one by one; hits, loads and victims are counted."""

    policy: EvictionPolicy
    sizes: Sequence[int]
    capacity: int
    reload_s: Sequence[float] | None = None
    hits: int = 0
    loads: int = 0
    load_s: float = 0.0
    """Time of all loads together."""
    victims: list[int] = field(default_factory=list)
    refused: int = 0

    def __post_init__(self) -> None:
        n = len(self.sizes)
        self.size = np.array(self.sizes, np.int64)
        self.cost_s = np.ones(n) if self.reload_s is None else np.array(self.reload_s, np.float64)
        self.specs = [model_spec(str(model), size) for model, size in enumerate(self.sizes)]
        self.resident: dict[int, None] = {}
        self.uses, self.last, self.since = (np.zeros(n, np.int64) for _ in range(3))
        self.count, self.count_at = np.zeros(n), np.zeros(n, np.int64)
        self.used = 0

    def run(self, requests: Sequence[int], gap_ns: int = S) -> PolicyCache:
        """Request k comes at (k + 1) gaps."""
        for k, model in enumerate(requests):
            self.request(model, (k + 1) * gap_ns)
        return self

    def request(self, model: int, now_ns: int) -> bool:
        """True on a hit."""
        hit = model in self.resident
        self.hits += hit
        if not hit and not self._load(model, now_ns):
            self.refused += 1
            return False
        decay = 0.5 ** ((now_ns - self.count_at[model]) / RATE_HALF_LIFE_NS)
        self.count[model], self.count_at[model] = self.count[model] * decay + 1, now_ns
        self.uses[model] += 1
        self.last[model] = now_ns
        return hit

    def _load(self, model: int, now_ns: int) -> bool:
        if self.size[model] > self.capacity:
            return False
        short = self.used + self.sizes[model] - self.capacity
        if short > 0:
            for victim in self.policy.victims(self.candidates(now_ns), short, now_ns):
                self.leave(victim.model, now_ns)
                self.victims.append(victim.model)
                short -= victim.size_bytes
                if short <= 0:
                    break
        if short > 0:
            return False
        self.resident[model] = None
        self.loads += 1
        self.used += self.sizes[model]
        self.uses[model], self.since[model] = 0, now_ns
        self.load_s += float(self.cost_s[model])
        self.policy.loaded(0, model, now_ns)
        return True

    def leave(self, model: int, now_ns: int) -> None:
        """A copy leaves, evicted or not."""
        del self.resident[model]
        self.used -= self.sizes[model]
        self.policy.removed(0, model, now_ns)

    def candidates(self, now_ns: int) -> Candidates:
        """All that is here."""
        at = np.fromiter(self.resident, np.int64, len(self.resident))
        rate = self.count[at] * 0.5 ** ((now_ns - self.count_at[at]) / RATE_HALF_LIFE_NS) / RATE_HALF_LIFE_NS * S
        return Candidates(0, self.specs, at, self.size[at], self.last[at], self.uses[at], rate, self.since[at],
                          self.cost_s[at], self.capacity)


def made(name: str, params: Mapping[str, object] | None = None, requests: Sequence[int] = (), gap_ns: int = S,
         seed: int = 0) -> EvictionPolicy:
    """A built-in policy with its random stream and, if it needs one, the future."""
    policy = resolve("eviction", name, params or {}, Path.cwd())
    assert isinstance(policy, EvictionPolicy)
    for one in (policy, *(inner for _, inner in parts(policy))):
        one.rng = stream(seed, "policy cache", one.name)
        if isinstance(one, ClairvoyantEviction):
            one.future = Future((np.arange(len(requests)) + 1) * gap_ns, as_array(requests))
    return policy


def as_array(requests: Sequence[int]) -> NDArray[np.int32]:
    """Requests as the simulator takes them."""
    return np.array(requests, np.int32)


def cache_run(name: str, requests: Sequence[int], capacity: int, sizes: Sequence[int] | None = None,
              reload_s: Sequence[float] | None = None, seed: int = 0, gap_ns: int = S, **params: object) -> PolicyCache:
    """A policy's run over these requests; unit sizes and loads of one second where none are given."""
    sizes = [1] * (max(requests) + 1) if sizes is None else sizes
    return PolicyCache(made(name, params, requests, gap_ns, seed), sizes, capacity, reload_s).run(requests, gap_ns)
