"""What Dask and Ray have in common: reaching them, the work on a worker, and the ways in which that fails."""

from __future__ import annotations

import socket
from collections.abc import Callable
from threading import Lock, Thread
from typing import Any

from mmesim.errors import InputError, Problem

CONNECT_S = 10.0
"""A cluster that does not answer for so long is not there."""
LOST = 3
"""Times that a piece of work may lose its worker before it is taken for the reason."""
_STAYS = "what is finished stays: the same command goes on from there"
_BUSY = Lock()


def task() -> Callable[[bytes, bytes | None], Any]:
    """What a worker does with ``pickle.dumps((work, item))`` and what is shared.

    It travels by value, as functions within functions do, so that only a worker needs to have mmesim, no scheduler; and
    where one has none, that is an exception like any other.
    """

    def carried_out(pickled: bytes, shared: bytes | None) -> Any:
        import pickle

        from mmesim.parallel.remote import one_at_a_time

        return one_at_a_time(*pickle.loads(pickled), shared)

    return carried_out


def one_at_a_time(work: Callable[..., Any], item: Any, shared: bytes | None) -> Any:
    """``work(item)``, or ``work(item, shared)``, on a worker; its process does nothing else meanwhile."""
    with _BUSY:
        return work(item) if shared is None else work(item, shared)


def connected(cluster: str, connect: Callable[[], Any]) -> Any:
    """What `connect` returns. Raises InputError when nothing listens at the address, or is not there in time: neither
    client ends by itself where something listens and says nothing."""
    if not cluster.endswith("//auto"):
        _listens(cluster)
    made: list[Any] = []
    failed: list[Exception] = []

    def attempt() -> None:
        """Whatever is wrong is told from the main thread."""
        try:
            made.append(connect())
        except Exception as error:
            failed.append(error)

    thread = Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(CONNECT_S)
    if not made:
        raise _unreachable(cluster, str(failed[0]) if failed else f"no answer in {CONNECT_S:g} s")
    return made[0]


def _listens(cluster: str) -> None:
    host, _, port = cluster.rpartition("/")[2].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(cluster, str(error)) from None


def _unreachable(cluster: str, reason: str) -> InputError:
    """Nobody answers there."""
    return InputError(Problem(f"cannot connect: {reason}", file=f"--cluster {cluster}",
                              hint="does it run, and can this machine reach it? docs/sweep.md shows how to start one"))


def missing_extra(cluster: str) -> InputError:
    """The client is not installed here."""
    return InputError(Problem("the cluster's client is not installed", file=f"--cluster {cluster}",
                              hint="pip install 'mmesim[cluster]'"))


def without_mmesim(cluster: str, error: ModuleNotFoundError) -> InputError:
    """The workers cannot import what the work needs."""
    return InputError(Problem(f"its workers cannot do this work: {error}", file=f"--cluster {cluster}",
                              hint="install the same mmesim there as here"))


def died(cluster: str, error: Exception) -> InputError:
    """The same work lost its workers again and again."""
    return InputError(Problem("a run lost its worker again and again, most often for want of memory: "
                              f"{str(error).splitlines()[0]}", file=f"--cluster {cluster}", hint=_STAYS))


def lost(cluster: str, error: Exception) -> InputError:
    """The cluster went away under the work."""
    return InputError(Problem(f"the connection was lost: {error or type(error).__name__}", file=f"--cluster {cluster}",
                              hint=_STAYS))
