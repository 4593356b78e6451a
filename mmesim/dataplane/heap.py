"""A binary heap inside an array of `state.ENTRY`: the smallest (key, tie) lies first.

Keys are never compared with an item, and (key, tie) pairs are distinct in each heap, so the order of leaving does not
depend on the order of entering.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmesim.dataplane.jit import kernel


@kernel
def push(entries: NDArray[np.void], base: int, n: int, key: int, tie: int, item: int) -> None:
    """Add an entry to the heap of `n` entries that begins at `base`."""
    keys, ties, items = entries["key"], entries["tie"], entries["item"]
    at = n
    while at > 0:
        parent = (at - 1) >> 1
        above = base + parent
        if keys[above] < key or (keys[above] == key and ties[above] < tie):
            break
        keys[base + at], ties[base + at], items[base + at] = keys[above], ties[above], items[above]
        at = parent
    keys[base + at], ties[base + at], items[base + at] = key, tie, item


@kernel
def pop(entries: NDArray[np.void], base: int, n: int) -> None:
    """Remove the first of the `n` entries that begin at `base`."""
    keys, ties, items = entries["key"], entries["tie"], entries["item"]
    last = base + n - 1
    key, tie, item = keys[last], ties[last], items[last]
    at, child = 0, 1
    while child < n - 1:
        below = base + child
        if child + 1 < n - 1 and (keys[below + 1] < keys[below] or (
                keys[below + 1] == keys[below] and ties[below + 1] < ties[below])):
            child += 1
            below += 1
        if key < keys[below] or (key == keys[below] and tie < ties[below]):
            break
        keys[base + at], ties[base + at], items[base + at] = keys[below], ties[below], items[below]
        at = child
        child = 2 * at + 1
    keys[base + at], ties[base + at], items[base + at] = key, tie, item
