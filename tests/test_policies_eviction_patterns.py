"""Where each eviction policy beats LRU and where it does not: patterns of requests, the reason, and paired runs.

Every comparison runs both policies on the same requests, for three seeds; the difference has the expected sign in each
and its mean is beyond a margin. docs/policies-built-in/eviction.md shows the same figures: ``python
tests/test_policies_eviction_patterns.py`` prints them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from policy_cache import PolicyCache, cache_run

from mmesim.core.streams import stream

SEEDS = (1, 2, 3)
N = 4000


@dataclass(frozen=True)
class Pattern:
    """Requests, and the models' sizes and load times."""

    requests: Sequence[int]
    capacity: int
    sizes: Sequence[int] | None = None
    reload_s: Sequence[float] | None = None

    def run(self, name: str, seed: int, **params: object) -> PolicyCache:
        return cache_run(name, self.requests, self.capacity, self.sizes, self.reload_s, seed, **params)


def zipf(rng: np.random.Generator, n_models: int, s: float, n: int = N) -> np.ndarray:
    """Independent requests, model k with weight 1/(k+1)^s."""
    weight = np.arange(1, n_models + 1) ** -s
    return rng.choice(n_models, n, p=weight / weight.sum())


def irm(rng: np.random.Generator) -> Pattern:
    """Independent requests (Zipf 1.0) for 50 models of which 8 fit: the past tells popularity and nothing else."""
    return Pattern(zipf(rng, 50, 1.0).tolist(), 8)


def loop(rng: np.random.Generator) -> Pattern:
    """Twelve models in turn, of which 10 fit."""
    return Pattern([k % 12 for k in range(N)], 10)


def conveyor(rng: np.random.Generator) -> Pattern:
    """Each model is asked for twice, with eight other new ones in between, and then for long not again; 10 fit."""
    return Pattern([(k - 8 * late) % 200 for k in range(8, N // 2) for late in (0, 1)[:1 + (k >= 16)]], 10)


def scan(rng: np.random.Generator) -> Pattern:
    """Zipf over 30 models; after every 60 requests a job asks once for each of 20 models nobody else uses."""
    popular = zipf(rng, 30, 1.0)
    blocks = np.split(popular, range(60, N, 60))
    return Pattern([int(one) for block in blocks for one in (*block, *range(30, 50))], 10)


def sessions(rng: np.random.Generator) -> Pattern:
    """Each user works with one model, a fresh one, for about 20 requests; five users at a time, six places."""
    users, fresh, asked = [0, 1, 2, 3, 4], 5, []
    for user, ends in zip(rng.integers(0, 5, N).tolist(), (rng.random(N) < 0.05).tolist(), strict=True):
        asked.append(users[user])
        if ends:
            users[user], fresh = fresh % 60, fresh + 1
    return Pattern(asked, 6)


def shift(rng: np.random.Generator) -> Pattern:
    """Zipf whose ranking is drawn anew after every 500 requests: yesterday's favourites are nobody's today."""
    asked = [rng.permutation(50)[zipf(rng, 50, 1.2, 500)] for _ in range(N // 500)]
    return Pattern(np.concatenate(asked).tolist(), 8)


def sized(rng: np.random.Generator) -> Pattern:
    """Popular models are small (1), rare ones large (10): sizes rise with the rank."""
    return Pattern(zipf(rng, 50, 0.8).tolist(), 40, [1 + k // 5 for k in range(50)])


def costly(rng: np.random.Generator) -> Pattern:
    """All equally popular and of one size; every fifth takes 30 s to load, the others 1 s."""
    return Pattern(rng.integers(0, 30, N).tolist(), 10, reload_s=[30.0 if k % 5 == 0 else 1.0 for k in range(30)])


def hit_ratio(run: PolicyCache) -> float:
    """Share of requests that found their model."""
    return run.hits / N_of(run)


def N_of(run: PolicyCache) -> int:
    """Requests of a run."""
    return run.hits + run.loads + run.refused


def minus_load_s(run: PolicyCache) -> float:
    """Less time spent loading is better; seconds per request."""
    return -run.load_s / N_of(run)


@dataclass(frozen=True)
class Case:
    """A policy against LRU on a pattern."""

    policy: str
    pattern: Callable[[np.random.Generator], Pattern]
    margin: float
    """Least mean difference; below zero: LRU is better by at least so much; 0: they are within 0.01."""
    why: str
    judge: Callable[[PolicyCache], float] = hit_ratio
    params: dict[str, Any] = field(default_factory=dict)


COUNT = {"frequency": "count"}
PINNED = [str(k) for k in range(8)]
CASES = [
    Case("fifo", loop, 0.0, "both evict the one that comes next"),
    Case("fifo", conveyor, 0.4, "8 newcomers leave a model in a queue of 10; LRU also keeps the 8 that are done with"),
    Case("fifo", irm, -0.02, "FIFO throws popular models out with the others"),
    Case("random", loop, 0.5, "chance keeps most of a loop that LRU always throws out just in time"),
    Case("random", irm, -0.02, "under independent requests random hits as often as FIFO"),
    Case("lfu", irm, 0.05, "counts find the popular models"),
    Case("lfu", shift, -0.05, "the favourites of the past keep their places"),
    Case("lfu_da", irm, 0.03, "counts find the popular models"),
    Case("lfu_da", sessions, -0.02, "a finished session still counts, a new one not yet"),
    Case("lru_k", scan, 0.05, "what is asked for once never pushes out what was asked for twice"),
    Case("lru_k", sessions, -0.02, "the finished session has two uses, the new one has one"),
    Case("gdsf", sized, 0.1, "many small popular models for one large rare one"),
    Case("gdsf", costly, 0.5, "what takes 30 s to load stays", minus_load_s),
    Case("gdsf", sessions, -0.02, "the count of a finished session keeps it", params=COUNT),
    Case("sieve", scan, 0.02, "a scan is never visited and leaves first"),
    Case("sieve", irm, 0.02, "visited once in a round is enough to stay"),
    Case("sieve", sessions, -0.005, "finished sessions stay until the hand has been round"),
    Case("s3fifo", scan, 0.05, "a scan goes through the small queue only"),
    Case("s3fifo", sessions, -0.02, "a new session must prove itself while finished ones stay"),
    Case("ttl", irm, 0.0, "while memory is scarce it is LRU", params={"keep_alive": "1h"}),
    Case("belady", loop, 0.5, "it keeps 9 of 11 requests of the loop, (C-1)/(N-1)"),
    Case("belady", irm, 0.1, "it knows who comes next"),
    Case("pinning", scan, 0.05, "the eight most popular models never leave", params={"models": PINNED}),
    Case("pinning", shift, -0.05, "eight places for models that nobody wants any more", params={"models": PINNED}),
    Case("churn_guard", loop, 0.5, "a sixth of the requests is refused, the others all hit"),
    Case("churn_guard", sessions, -0.05, "a new session is refused until a finished one is old enough"),
    Case("belady_size", sized, 0.2, "it knows who comes next, and what room they take"),
]


def differences(case: Case) -> list[tuple[float, float]]:
    """(the policy's figure, LRU's) for each seed."""
    found = []
    for seed in SEEDS:
        pattern = case.pattern(stream(seed, "pattern"))
        run, lru = pattern.run(case.policy, seed, **case.params), pattern.run("lru", seed)
        found.append((case.judge(run), case.judge(lru)))
    return found


def name_of(case: Case) -> str:
    return f"{case.policy}-{case.pattern.__name__}"


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_against_lru(case: Case) -> None:
    each = [ours - lru for ours, lru in differences(case)]
    mean = sum(each) / len(each)
    if case.margin == 0:
        assert all(abs(one) < 0.01 for one in each), each
    else:
        assert all(one * case.margin > 0 for one in each), each
        assert abs(mean) >= abs(case.margin), each


if __name__ == "__main__":
    for one in CASES:
        rows = differences(one)
        ours, lru = (sum(column) / len(rows) for column in zip(*rows, strict=True))
        figures = f"{ours:.3f} | {lru:.3f} | {ours - lru:+.3f}"
        print(f"| `{one.policy}` | {one.pattern.__name__} | {figures} | {one.why} |")
