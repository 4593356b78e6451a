"""Tells clairvoyant policies the requests to come: the same arrivals, generated once more."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mmesim.core.foresight import Future
from mmesim.core.policy import ClairvoyantEviction, Policies, every
from mmesim.errors import InputError, Problem
from mmesim.workload.types import ArrivalSource


def foresee(policies: Policies, requests: Callable[[], ArrivalSource] | None) -> None:
    """Give the future to the policies that need it; `requests` begins to generate them, None: nobody can know them.

    Raises InputError when a clairvoyant policy is used with clients that wait for answers.
    """
    clairvoyant = [policy for _, policy in every(policies) if isinstance(policy, ClairvoyantEviction)]
    if not clairvoyant:
        return
    if requests is None:
        raise InputError(Problem(f"{clairvoyant[0].name} must know the requests to come, and closed-loop clients "
                                 "decide as they go", path="endpoint.eviction",
                                 hint="use workload.arrivals or workload.trace, or another eviction policy"))
    future = future_of(requests())
    for policy in clairvoyant:
        policy.future = future


def future_of(requests: ArrivalSource) -> Future:
    """All that this source gives; it is used up."""
    chunks = list(iter(requests.next_chunk, None))
    if not chunks:
        return Future(np.zeros(0, np.int64), np.zeros(0, np.int32))
    return Future(np.concatenate([chunk.t_ns for chunk in chunks]), np.concatenate([chunk.model for chunk in chunks]))
