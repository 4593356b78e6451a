"""The offline optimum of one cache: MIN, PFOO-U and PFOO-L against hand counts, exhaustive search, the exact linear
programme, and published counts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_traces import GENAI, block_requests, columns_of, numbered
from scipy.optimize import linprog

from mmesim.planner.bounds.offline import Requests, min_hits, pfoo_lower, pfoo_upper

MIB = 1 << 20
GENAI_MIN = {2: 0.548, 4: 0.773, 8: 0.909, 19: 0.974, 38: 0.990}
AZURE_MIN = {27: 0.621, 68: 0.747, 135: 0.852, 338: 0.978, 675: 0.998}
CLOUDPHYSICS_MIB = (128, 256, 384, 512, 640, 768, 896, 1024)
CLOUDPHYSICS_MIN = (79256, 70724, 65481, 61594, 59645, 57599, 50873, 48974)
CLOUDPHYSICS = {
    "LRU": (93374, 89783, 83572, 81722, 72494, 72104, 71972, 71704),
    "FIFO": (93403, 89386, 84387, 84025, 72498, 72228, 72182, 72140),
    "CLOCK": (93313, 89775, 83411, 81328, 74815, 72283, 71927, 64456),
    "LFU, SIEVE": (91699, 86720, 78578, 76707, 69945, 66221, 64445, 64376),
    "GDSF": (89068, 84750, 74853, 70488, 67919, 64180, 61029, 58721),
    "S3-FIFO": (89307, 82387, 77041, 76791, 71300, 70343, 70455, 70355),
    "ARC": (90252, 85861, 78168, 74297, 67381, 65685, 64439, 64772),
    "LHD": (90500, 86928, 82211, 77256, 71259, 67001, 63734, 61237),
    "MIN, blind to sizes": CLOUDPHYSICS_MIN,
}
"""Misses published with libCacheSim, or reproduced from its rules."""


def requests_of(models: Sequence[int] | str, times: Sequence[float] | None = None, since_s: float = 0.0) -> Requests:
    """One request a second, or at these times; letters are models."""
    model = np.array([ord(m) - 97 for m in models] if isinstance(models, str) else models, np.int64)
    t_s = np.arange(len(model), dtype=float) if times is None else np.array(times, float)
    return Requests(t_s, model, int(model.max()) + 1, since_s)


def programme(requests: Requests, size: np.ndarray, capacity: float, value: np.ndarray) -> float:
    """FOO's linear programme, solved as it stands: one constraint for every slot."""
    intervals = requests.intervals
    if not len(intervals.model):
        return 0.0
    slots = np.arange(intervals.slots)[:, None]
    covered = (slots >= intervals.start) & (slots < intervals.end)
    bounds = [(0, float(s <= capacity)) for s in size[intervals.model]]
    solved = linprog(-value[intervals.model], A_ub=covered * size[intervals.model],
                     b_ub=np.full(intervals.slots, capacity), bounds=bounds)
    assert solved.success, solved.message
    return float(-solved.fun)


def exhaustive(requests: Requests, size: np.ndarray, capacity: float, value: np.ndarray) -> float:
    """The best set of intervals, by trying all."""
    intervals = requests.intervals
    best = 0.0
    for many in range(len(intervals.model) + 1):
        for chosen in combinations(range(len(intervals.model)), many):
            taken = np.zeros(intervals.slots)
            for k in chosen:
                taken[intervals.start[k]:intervals.end[k]] += size[intervals.model[k]]
            if not chosen or taken.max() <= capacity:
                best = max(best, float(value[intervals.model[list(chosen)]].sum()))
    return best


def best_loading_all(models: Sequence[int], capacity: int) -> int:
    """Most hits of a cache of unit sizes that must load what misses, by trying every victim."""
    @cache
    def hits(at: int, here: frozenset[int]) -> int:
        if at == len(models):
            return 0
        model = models[at]
        if model in here:
            return 1 + hits(at + 1, here)
        if len(here) < capacity:
            return hits(at + 1, here | {model})
        return max(hits(at + 1, (here - {victim}) | {model}) for victim in here)
    return hits(0, frozenset())


def test_by_hand() -> None:
    """a b a b in one place: bypassing, one of the two intervals is kept (of length 2 each, of 3 slots); loading what
    misses, none."""
    requests, one = requests_of("abab"), np.ones(2)
    assert min_hits(requests, one, 1) == 0
    assert pfoo_lower(requests, one, 1) == 1
    assert pfoo_upper(requests, one, 1) == pytest.approx(1.5)
    assert pfoo_upper(requests, one, 2) == pfoo_lower(requests, one, 2) == min_hits(requests, one, 2) == 2


def test_the_tighter_average_counts() -> None:
    """Over requests, one interval fits (two of three slots) and half of the other. Where both cover one long pause,
    time tells more: 100 of 101 s, and a hundredth. Where one covers it, less: 1 + 100/101."""
    assert pfoo_upper(requests_of("abab", [0, 1, 100, 101]), np.ones(2), 1) == pytest.approx(1.01)
    assert pfoo_upper(requests_of("abab", [0, 100, 101, 102]), np.ones(2), 1) == pytest.approx(1.5)


def test_larger_ones_count_and_cost() -> None:
    """The large model's interval costs three times as much memory, and is taken first when its load saves more."""
    requests, size = requests_of("abab"), np.array([3, 1])
    assert pfoo_lower(requests, size, 3, np.array([1.0, 1.0])) == 1
    assert pfoo_lower(requests, size, 3, np.array([10.0, 1.0])) == 10
    assert pfoo_upper(requests, size, 3, np.array([10.0, 1.0])) == pytest.approx(11)
    assert pfoo_upper(requests, np.array([4, 1]), 3, np.array([10.0, 1.0])) == 1, "what fits nowhere saves nothing"


def test_warm_up_leaves_its_models() -> None:
    """Counted from second 1.5 on: a and b may be there already, and need memory from then on only. Over time that is
    0.5 and 1.5 of 1.5 s, over requests 1 and 2 of the 2 slots that are left."""
    requests = requests_of("abab", since_s=1.5)
    assert requests.counted == 2
    assert requests.intervals.length_s.tolist() == [0.5, 1.5]
    assert (requests.intervals.end - requests.intervals.start).tolist() == [1, 2]
    assert pfoo_upper(requests, np.ones(2), 1) == pytest.approx(1.5)
    assert pfoo_upper(requests, np.ones(2), 2) == 2


def test_nothing_asked_twice() -> None:
    for models in ("a", "abc"):
        requests, one = requests_of(models), np.ones(3)
        assert pfoo_upper(requests, one, 5) == pfoo_lower(requests, one, 5) == min_hits(requests, one, 5) == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=24), st.integers(1, 9), st.integers(0, 2 ** 32 - 1))
def test_the_programme_lies_between(models: list[int], capacity: int, seed: int) -> None:
    """PFOO-U is at least the exact linear programme's value, PFOO-L at most, whatever sizes and worths."""
    rng = np.random.default_rng(seed)
    size, value = rng.integers(1, 6, 5), rng.uniform(0.1, 3.0, 5)
    requests = requests_of(models, np.cumsum(rng.exponential(1.0, len(models))))
    exact = programme(requests, size, capacity, value)
    assert pfoo_upper(requests, size, capacity, value) >= exact - 1e-7
    assert pfoo_lower(requests, size, capacity, value) <= exact + 1e-7


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=11), st.integers(1, 7), st.integers(0, 2 ** 32 - 1))
def test_the_optimum_lies_between(models: list[int], capacity: int, seed: int) -> None:
    """The true optimum, by trying all sets of intervals."""
    rng = np.random.default_rng(seed)
    size, value = rng.integers(1, 5, 4), rng.integers(1, 4, 4).astype(float)
    requests = requests_of(models)
    exact = exhaustive(requests, size, capacity, value)
    assert pfoo_lower(requests, size, capacity, value) <= exact <= pfoo_upper(requests, size, capacity, value) + 1e-9
    assert exact <= programme(requests, size, capacity, value) + 1e-7


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=14), st.integers(1, 4))
def test_min_is_the_optimum_of_one_size(models: list[int], capacity: int) -> None:
    requests, one = requests_of(models), np.ones(5)
    exact = best_loading_all(tuple(models), capacity)
    assert min_hits(requests, one, capacity) == exact <= pfoo_upper(requests, one, capacity) + 1e-9


# ---- real traces


@pytest.mark.data
@pytest.mark.parametrize(("name", "published"), [(GENAI, GENAI_MIN), ("azure_functions_2019_1350f_24h", AZURE_MIN)])
def test_min_of_real_traces(shared_data: Path, name: str, published: dict[int, float]) -> None:
    """The table's hit ratios to all its digits, with the bounds on either side of the optimum."""
    times, models = columns_of(shared_data, name, "timestamp_s", "model")
    requests = requests_of(numbered(models), np.array(times, float))
    one = np.ones(requests.n_models, np.int64)
    for capacity, ratio in published.items():
        hits = min_hits(requests, one, capacity)
        assert round(hits / requests.counted, 3) == ratio
        upper = pfoo_upper(requests, one, capacity)
        assert hits <= upper
        assert pfoo_lower(requests, one, capacity) <= upper


@pytest.mark.data
def test_published_policies_stay_below_the_bound(shared_data: Path) -> None:
    """MIN blind to sizes equals libCacheSim's counts; there it is no bound (PFOO-L's schedule misses less), PFOO-U is:
    every published policy misses at least so often, at every capacity."""
    model, sizes = block_requests(shared_data)
    requests, size = requests_of(model), np.array(sizes, np.int64)
    for at, mib in enumerate(CLOUDPHYSICS_MIB):
        assert len(model) - min_hits(requests, size, mib * MIB) == CLOUDPHYSICS_MIN[at]
        least = len(model) - pfoo_upper(requests, size, mib * MIB)
        schedule = len(model) - pfoo_lower(requests, size, mib * MIB)
        assert least <= schedule <= CLOUDPHYSICS_MIN[at]
        for policy, misses in CLOUDPHYSICS.items():
            assert least <= misses[at], (policy, mib)
