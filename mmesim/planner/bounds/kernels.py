"""The loops of the bounds, compiled by numba on first use; what they compute is told where they are called.

Rows are requests model by model, each model's in order of arrival: rows ``begins[m]`` to ``begins[m + 1]`` are m's.
No helper is called from another file, so that numba's cache, which watches one file, never serves old code.
"""

from __future__ import annotations

from heapq import heappop, heappush

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@njit(cache=True)
def rows_by_model(model: Ints, n_models: int) -> tuple[Ints, Ints]:
    """(position of each row in the order of arrival, begins)."""
    begins = np.zeros(n_models + 1, np.int64)
    for m in model:
        begins[m + 1] += 1
    begins = np.cumsum(begins)
    at = begins[:-1].copy()
    order = np.empty(len(model), np.int64)
    for position in range(len(model)):
        m = model[position]
        order[at[m]] = position
        at[m] += 1
    return order, begins


@njit(cache=True)
def belady(model: Ints, next_use: Ints, size: Ints, capacity: int) -> int:
    """Hits of MIN: on a miss, what is used farthest in the future leaves until the newcomer fits."""
    until = np.full(len(size), -1, np.int64)
    heap = [(0, -1)]
    heap.pop()
    free, hits = capacity, 0
    for position in range(len(model)):
        m = model[position]
        if until[m] >= 0:
            hits += 1
        elif size[m] <= capacity:
            while free < size[m]:
                far, out = heappop(heap)
                if until[out] == -far:
                    until[out] = -1
                    free += size[out]
            free -= size[m]
        else:
            continue
        until[m] = next_use[position]
        heappush(heap, (-next_use[position], m))
    return hits


@njit(cache=True)
def feasible(order: Ints, start: Ints, end: Ints, size: Ints, slots: int, capacity: int) -> NDArray[np.bool_]:
    """Takes intervals [start, end) in this order, each if nothing overflows then: PFOO-L.

    A segment tree over the slots with range addition and range maximum; `top` holds the maximum of a node's own range
    without what was added to its ancestors.
    """
    leaves = 1
    while leaves < slots:
        leaves *= 2
    add, top = np.zeros(2 * leaves, np.int64), np.zeros(2 * leaves, np.int64)
    taken = np.zeros(len(order), np.bool_)
    for which in order:
        first, last = start[which] + leaves, end[which] - 1 + leaves
        left, right, most_left, most_right = first, last, 0, 0
        # Upwards: the highest use below the two ends, additions of the ancestors on the way.
        most_left, most_right = top[left], top[right]
        while left >> 1 != right >> 1:
            if left & 1 == 0:
                most_left = max(most_left, top[left + 1])
            if right & 1:
                most_right = max(most_right, top[right - 1])
            left, right = left >> 1, right >> 1
            most_left, most_right = most_left + add[left], most_right + add[right]
        most = max(most_left, most_right)
        node = left >> 1
        while node:
            most += add[node]
            node >>= 1
        if most + size[which] > capacity:
            continue
        taken[which] = True
        left, right = first, last
        top[left] += size[which]
        add[left] += size[which]
        if left != right:
            top[right] += size[which]
            add[right] += size[which]
        while left >> 1 != right >> 1:
            if left & 1 == 0:
                top[left + 1] += size[which]
                add[left + 1] += size[which]
            if right & 1:
                top[right - 1] += size[which]
                add[right - 1] += size[which]
            left, right = left >> 1, right >> 1
            top[left] = max(top[2 * left], top[2 * left + 1]) + add[left]
            top[right] = max(top[2 * right], top[2 * right + 1]) + add[right]
        node = left >> 1
        while node:
            top[node] = max(top[2 * node], top[2 * node + 1]) + add[node]
            node >>= 1
    return taken


@njit(cache=True)
def _tables(begins: Ints) -> tuple[Floats, Floats, Floats, Floats]:
    """(value, memory) of two states at each request and behind the last one, with room for any model's."""
    n = np.diff(begins).max() + 1
    return np.empty(n), np.empty(n), np.empty(n), np.empty(n)


@njit(cache=True, error_model="numpy")
def prompt_misses(begins: Ints, counts: Ints, t_s: Floats, clock: Floats, load_s: Floats, share: Floats,
                  price: float) -> tuple[float, float]:
    """(least misses + price * memory, memory then) where a load has its memory from its miss on, but for first loads.

    `counts[m]`: the model's first row that counts; `clock`: where a row stands in the measure of memory; `share[m]`:
    what the model takes of all memory in a unit of it, below 0 where it fits nowhere. ``absent[i]`` is the best before
    request i when no copy is there or on its way, ``present[i]`` the best when request i finds a READY one.
    """
    absent, absent_use, present, present_use = _tables(begins)
    total, use = 0.0, 0.0
    for m in range(len(begins) - 1):
        base, n, measured = begins[m], begins[m + 1] - begins[m], counts[m]
        absent[:n + 1], present[:n + 1] = np.inf, np.inf
        absent[0], absent_use[0] = 0.0, 0.0
        ready = 0
        for i in range(n):
            row = base + i
            ready = max(ready, i + 1)
            while ready < n and t_s[base + ready] < t_s[row] + load_s[m]:
                ready += 1
            if i > 0 and share[m] >= 0 and t_s[row] >= t_s[base] + load_s[m]:
                value = float(max(0, i - measured))  # the first load, just in time, whatever held it up
                if value < present[i]:
                    present[i], present_use[i] = value, 0.0
            value = absent[i] + (1.0 if i >= measured else 0.0)
            absent[i + 1], absent_use[i + 1] = value, absent_use[i]
            if present[i] < value:
                absent[i + 1], absent_use[i + 1] = present[i], present_use[i]
            if share[m] < 0:
                continue
            if ready < n:
                more = (clock[base + ready] - clock[row]) * share[m]
                value = absent[i] + max(0, ready - max(i, measured)) + price * more
                if value < present[ready]:
                    present[ready], present_use[ready] = value, absent_use[i] + more
            if i + 1 < n:
                more = (clock[row + 1] - clock[row]) * share[m]
                if present[i] + price * more < present[i + 1]:
                    present[i + 1], present_use[i + 1] = present[i] + price * more, present_use[i] + more
        total, use = total + absent[n], use + absent_use[n]
    return total, use


@njit(cache=True, error_model="numpy")
def late_misses(begins: Ints, counts: Ints, t_s: Floats, since_s: float, load_s: Floats, share: Floats,
                price: float) -> tuple[float, float]:
    """The same where any load may wait for any length of time, without memory, before it starts.

    ``missed[i]``: the best with request i missed, its cold start waiting; ``hit[i]``: the best with a READY copy at
    request i, kept since the one before, or loaded just in time by a cold start of a request `load_s` or more before.
    """
    missed, missed_use, hit, hit_use = _tables(begins)
    total, use = 0.0, 0.0
    for m in range(len(begins) - 1):
        base, n, measured, before = begins[m], begins[m + 1] - begins[m], counts[m], 0
        if n == 0:
            continue
        missed[0], missed_use[0], hit[0], hit_use[0] = 1.0 if measured == 0 else 0.0, 0.0, np.inf, 0.0
        for i in range(1, n):
            t = t_s[base + i]
            was_hit = hit[i - 1] < missed[i - 1]
            missed[i] = (hit[i - 1] if was_hit else missed[i - 1]) + (1.0 if i >= measured else 0.0)
            missed_use[i] = hit_use[i - 1] if was_hit else missed_use[i - 1]
            hit[i], hit_use[i] = np.inf, 0.0
            if share[m] < 0:
                continue
            more = (max(t, since_s) - max(t_s[base + i - 1], since_s)) * share[m]
            hit[i], hit_use[i] = hit[i - 1] + price * more, hit_use[i - 1] + more
            while before + 1 < i and t_s[base + before + 1] <= t - load_s[m]:
                before += 1
            if t_s[base + before] <= t - load_s[m]:
                more = (max(t, since_s) - max(t - load_s[m], since_s)) * share[m]
                value = missed[before] + max(0, i - max(before + 1, measured)) + price * more
                if value < hit[i]:
                    hit[i], hit_use[i] = value, missed_use[before] + more
        last_hit = hit[n - 1] < missed[n - 1]
        total += hit[n - 1] if last_hit else missed[n - 1]
        use += hit_use[n - 1] if last_hit else missed_use[n - 1]
    return total, use


@njit(cache=True, error_model="numpy")
def load_cost(begins: Ints, counts: Ints, t_s: Floats, clock: Floats, taken: Floats, wait_s: Floats, share: Floats,
              cost: Floats, price: float) -> tuple[float, float]:
    """(least cost of loads + price * memory, memory then) where every request needs a copy, at once or `wait_s` later.

    A load serves the requests of the next `wait_s` without memory; ``taken[i]`` is the clock when it must have it if
    it begins at request i. ``absent[i]``: the best before request i if that needs a load; ``present[i]``: if it finds
    a copy.
    """
    absent, absent_use, present, present_use = _tables(begins)
    total, use = 0.0, 0.0
    for m in range(len(begins) - 1):
        base, n, measured = begins[m], begins[m + 1] - begins[m], counts[m]
        absent[:n + 1], present[:n + 1] = np.inf, np.inf
        absent[0], absent_use[0] = 0.0, 0.0
        after = 0
        for i in range(n):
            row = base + i
            after = max(after, i + 1)
            while after < n and t_s[base + after] <= t_s[row] + wait_s[m]:
                after += 1
            value = absent[i] + (cost[m] if i >= measured else 0.0)
            if value < absent[after]:
                absent[after], absent_use[after] = value, absent_use[i]
            if present[i] < absent[i + 1]:
                absent[i + 1], absent_use[i + 1] = present[i], present_use[i]
            if share[m] < 0:
                continue
            more = (clock[base + after] - taken[row]) * share[m] if after < n else 0.0
            if after < n and value + price * more < present[after]:
                present[after], present_use[after] = value + price * more, absent_use[i] + more
            more = (clock[row + 1] - clock[row]) * share[m] if i + 1 < n else 0.0
            if i + 1 < n and present[i] + price * more < present[i + 1]:
                present[i + 1], present_use[i + 1] = present[i] + price * more, present_use[i] + more
        total, use = total + absent[n], use + absent_use[n]
    return total, use
