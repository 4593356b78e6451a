"""Over the cores of this machine, by joblib's loky processes.

Each piece is a task of its own (``batch_size=1``): it is handed over as soon as it has ended, and a process that dies
takes nothing finished with it. Then loky ends all of them, so what is missing is tried once more, in fresh processes:
one that was killed for want of memory may have been unlucky in its neighbours, one that dies again is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from mmesim.errors import InputError, Problem

Item, Result = TypeVar("Item"), TypeVar("Result")


def finished_here(work: Callable[[Item], Result], items: Mapping[int, Item],
                  processes: int) -> Iterator[tuple[int, Result]]:
    """(number of the item, its result) as they end. Raises InputError when processes die twice."""
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    missing = dict(items)
    for attempt in range(2):
        try:
            for number, result in _pool(work, missing, processes, fewest=1 + attempt):
                del missing[number]
                yield number, result
            return
        except TerminatedWorkerError as error:
            if attempt:
                raise InputError(Problem("a worker process was ended from outside, twice, most often for want of "
                                         "memory", hint="run with --processes 1; what is finished stays")) from error


def _pool(work: Callable[[Item], Result], items: Mapping[int, Item], processes: int,
          fewest: int) -> Iterator[tuple[int, Result]]:
    """Alone, the last item is worked on in this process; not one that may have ended another (`fewest` 2)."""
    from joblib import Parallel, delayed

    most = max(fewest, min(processes, len(items))) if processes > 0 else processes
    pool = Parallel(n_jobs=most or 1, return_as="generator_unordered", batch_size=1)
    yield from pool(delayed(_numbered)(work, number, item) for number, item in list(items.items()))


def _numbered(work: Callable[[Item], Result], number: int, item: Item) -> tuple[int, Result]:
    return number, work(item)
