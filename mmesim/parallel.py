"""Work of the same kind on many things, side by side over the machine's cores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Item, Result = TypeVar("Item"), TypeVar("Result")


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item], *, processes: int = -1,
                 done: Callable[[int], None] | None = None) -> list[Result]:
    """``work(item)`` of every item, in the items' order; `done` is told how many there are so far.

    `processes`: at most so many; -1: one for each core. `work` and the items go to other processes, by pickle.
    """
    from joblib import Parallel, delayed

    everything: Sequence[Item] = list(items)
    most = min(processes, len(everything)) if processes > 0 else processes
    results: list[Result] = []
    for result in Parallel(n_jobs=most or 1, return_as="generator")(delayed(work)(item) for item in everything):
        results.append(result)
        if done:
            done(len(results))
    return results
