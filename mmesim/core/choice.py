"""What a routing policy sees of one copy: :class:`Choice`, and how it is read from the residency table.

The same lines run compiled in the kernel, uncompiled, and wherever a policy is asked in Python: it sees the same
numbers everywhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mmesim.core.lifecycle import Residency

_READY, _ABSENT, _DOWNLOADING = int(Residency.READY), int(Residency.ABSENT), int(Residency.DOWNLOADING)
_int64: Any = np.int64


class Choice(NamedTuple):
    """One copy as a router sees it, or for a blind router one instance; all fields are ints."""

    model: int
    instance: int
    position: int
    """Of this copy among those offered for the request, from 0, by ascending instance."""
    offered: int
    """How many are offered for the request."""
    draw: int
    """A fresh random number in [0, 2^62) for each request and instance."""
    request_draw: int
    """A fresh random number in [0, 2^62) for each request, the same for all that are offered for it."""
    outstanding: int
    """Requests in flight for this model on this instance."""
    instance_outstanding: int
    """Requests in flight on this instance."""
    endpoint_outstanding: int
    """Requests in flight on the endpoint (the one in question is in none of these numbers)."""
    serving: int
    """Instances in service."""
    last_use_ns: int
    """When a request for this model was last sent here; 0: never."""
    uses: int
    """Requests sent here since the last cold start of the model here began."""
    ready: int
    """1: READY here; 0: a request would have to wait for a load."""
    ready_in_ns: int
    """Expected time to READY: 0 when it is; of a cold start under way what is left; else that of one that would begin
    now, behind those under way on the instance, from its disk or from S3."""
    service_ns: int
    """Expected time of one request for this model alone."""
    backlog_ns: int
    """Sum of the `service_ns` of all requests in flight on this instance."""


def choice(copies: Any, models: Any, instances: Any, row: int, model: int, instance: int, position: int, offered: int,
           draw: int, request_draw: int, endpoint_outstanding: int, serving: int, now_ns: int) -> Choice:
    """Read a choice from the table's arrays; `row` is that of the copy."""
    state = copies["state"][row]
    if state == _READY:
        ready_in_ns = 0
    elif copies["cold"][row] == 1:
        ready_in_ns = max(0, copies["expected_ready_ns"][row] - now_ns)
    else:
        fetched = state not in (_ABSENT, _DOWNLOADING)
        reload_ns = models["reload_disk_ns"][model] if fetched else models["reload_s3_ns"][model]
        ready_in_ns = instances["load_backlog_ns"][instance] + reload_ns
    return Choice(
        model, instance, position, offered, draw, request_draw, _int64(copies["outstanding"][row]),
        instances["outstanding"][instance], endpoint_outstanding, serving, copies["last_use_ns"][row],
        copies["uses"][row], _int64(state == _READY), ready_in_ns, models["service_ns"][model],
        instances["backlog_ns"][instance])
