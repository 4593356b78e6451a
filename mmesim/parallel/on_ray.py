"""Over the workers of a Ray cluster, through Ray's own tasks.

joblib's Ray backend hands nothing over before all is finished (``return_as="generator_unordered"`` is refused), and its
pool of actors does not replace one that dies. A task of Ray's is tried again when its worker or its node is lost, and
small results lie with the driver, so nothing finished runs twice.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from mmesim.errors import InputError
from mmesim.parallel import remote

AHEAD = 2
"""Pieces at the cluster for each of its CPUs."""


def finished_on_ray(cluster: str, work: Callable[..., Any], items: Mapping[int, Any], shared: bytes | None,
                    most: int) -> Iterator[tuple[int, Any]]:
    """(number of the item, its result) as they end; at most so many at once, -1: as the cluster has CPUs.
    Raises InputError when the cluster is not there, goes away, or loses the workers of one piece again and again."""
    ray = _connected(cluster)
    task = ray.remote(num_cpus=1, max_retries=remote.LOST)(remote.task())
    common = None if shared is None else ray.put(shared)
    waiting, under_way = iter(items.items()), {}
    try:
        while True:
            room = _room(ray, most) - len(under_way)
            for _, (number, item) in zip(range(room), waiting, strict=False):
                under_way[task.remote(pickle.dumps((work, item)), common)] = number
            if not under_way:
                return
            for reference in ray.wait(list(under_way), num_returns=1)[0]:
                result = _result(ray, cluster, reference)
                yield under_way.pop(reference), result
    except ConnectionError as error:
        raise remote.lost(cluster, error) from None
    finally:
        _cancel(ray, list(under_way))


def _room(ray: Any, most: int) -> int:
    return most if most > 0 else max(1, AHEAD * int(ray.cluster_resources().get("CPU", 0)))


def _result(ray: Any, cluster: str, reference: Any) -> Any:
    """What the task returned; raises what it raised."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from None
        if isinstance(error.cause, ModuleNotFoundError):
            raise remote.without_mmesim(cluster, error.cause) from None
        raise
    except ray.exceptions.RayError as error:
        raise remote.died(cluster, error) from None


def _cancel(ray: Any, references: list[Any]) -> None:
    """What has not begun is not to begin."""
    for reference in references:
        try:
            ray.cancel(reference)
        except (ConnectionError, ray.exceptions.RayError):
            return


@cache
def _connected(cluster: str) -> Any:
    """The ray module, connected for as long as this program runs. Raises InputError."""
    try:
        import ray
    except ImportError:
        raise remote.missing_extra(cluster) from None
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # each is raised here, none is to be printed too
    remote.connected(cluster, lambda: ray.init("auto" if cluster == "ray://auto" else cluster, log_to_driver=False,
                                               logging_level=logging.ERROR, ignore_reinit_error=True))
    return ray
