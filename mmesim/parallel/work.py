"""The same work on many things, handed over in the order in which it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from mmesim.parallel.local import finished_here
from mmesim.parallel.on_dask import finished_on_dask
from mmesim.parallel.on_ray import finished_on_ray
from mmesim.parallel.workers import Workers

Item, Result = TypeVar("Item"), TypeVar("Result")


def finished(work: Callable[..., Result], items: Iterable[Item], workers: Workers, *,
             shared: bytes | None = None) -> Iterator[tuple[int, Result]]:
    """``(number of the item, work(item))`` as they end, in any order.

    `work`, the items and the results travel by pickle. `shared` is sent to each worker of a cluster once; the work is
    then ``work(item, shared)``. Raises InputError when the cluster is not there, or workers die again and again.
    """
    numbered = dict(enumerate(items))
    if not numbered:
        return
    if workers.cluster is None:
        assert shared is None, "what this machine's processes need lies on its disk"
        yield from finished_here(work, numbered, workers.processes)
    else:
        over_cluster = finished_on_dask if workers.is_dask else finished_on_ray
        yield from over_cluster(workers.cluster, work, numbered, shared, workers.processes)


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item], *, processes: int = -1,
                 done: Callable[[int], None] | None = None) -> list[Result]:
    """``work(item)`` of every item, over this machine's cores, in the items' order; `done` is told how many there are
    so far. `processes`: at most so many; -1: one for each core."""
    results: dict[int, Result] = {}
    for number, result in finished(work, items, Workers(processes)):
        results[number] = result
        if done:
            done(len(results))
    return [results[number] for number in sorted(results)]
