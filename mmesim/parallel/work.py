"""The same work on many things, handed over in the order in which it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from mmesim.parallel.local import finished_here
from mmesim.parallel.workers import Workers

Item, Result = TypeVar("Item"), TypeVar("Result")


def finished(work: Callable[[Item], Result], items: Iterable[Item], workers: Workers) -> Iterator[tuple[int, Result]]:
    """``(number of the item, work(item))`` as they end, in any order.

    `work`, the items and the results travel by pickle. Raises InputError when workers die again and again.
    """
    numbered = dict(enumerate(items))
    if numbered:
        yield from finished_here(work, numbered, workers.processes)


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
