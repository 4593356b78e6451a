"""Over the workers of a Dask cluster, through distributed's own client.

What a lost worker had not handed over runs again: the scheduler sees to that. The shared bytes are the result of a task
too, so the scheduler makes them again where they were lost; scattered data would be gone with the worker that holds it.
(joblib's Dask backend survives a killed worker as well, but has no such bytes, and its Ray backend cannot be used:
:mod:`mmesim.parallel.on_ray`.)
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from mmesim.parallel import remote

if TYPE_CHECKING:
    from distributed import Client

AHEAD = 2
"""Pieces at the scheduler for each thread of a worker: the next is there when one ends, and a stop wastes little."""


def finished_on_dask(cluster: str, work: Callable[..., Any], items: Mapping[int, Any], shared: bytes | None,
                     most: int) -> Iterator[tuple[int, Any]]:
    """(number of the item, its result) as they end; at most so many at once, -1: as the workers have threads.
    Raises InputError when the cluster is not there, goes away, or loses the workers of one piece again and again."""
    client = _client(cluster)
    from distributed import KilledWorker, as_completed
    from distributed.comm import CommClosedError

    common = None if shared is None else _sent(client, shared)
    waiting, under_way, ended = iter(items.items()), {}, as_completed(loop=client.loop)
    try:
        while _top_up(client, work, waiting, common, under_way, ended, most):
            future = next(ended)
            result = future.result()
            yield under_way.pop(future), result
    except KilledWorker as error:
        raise remote.died(cluster, error) from None
    except ModuleNotFoundError as error:
        raise remote.without_mmesim(cluster, error) from None
    except (CancelledError, CommClosedError) as error:
        raise remote.lost(cluster, error) from None
    finally:
        client.cancel(list(under_way))


def _top_up(client: Client, work: Callable[..., Any], waiting: Iterator[tuple[int, Any]], common: Any,
            under_way: dict[Any, int], ended: Any, most: int) -> bool:
    """Hand in the next pieces, so that no worker waits; False when nothing is under way any more."""
    task = remote.task()
    room = (most if most > 0 else max(1, AHEAD * sum(client.nthreads().values()))) - len(under_way)
    for _, (number, item) in zip(range(room), waiting, strict=False):
        future = client.submit(task, pickle.dumps((work, item)), common, pure=False)
        under_way[future] = number
        ended.add(future)
    return bool(under_way)


@cache
def _client(cluster: str) -> Client:
    """Connected, for as long as this program runs. Raises InputError."""
    try:
        from distributed import Client
    except ImportError:
        raise remote.missing_extra(cluster) from None
    return remote.connected(cluster, lambda: Client(cluster, timeout=remote.CONNECT_S, set_as_default=False))


def _sent(client: Client, content: bytes) -> Any:
    """The bytes as a task's result, on every worker that there is now."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of their size
        sent = client.submit(bytes, content, key=f"mmesim-files-{sha256(content).hexdigest()}")
    client.replicate([sent])
    return sent
