"""Callers: what follows an answer or a failure. Users think and wake, failed attempts are tried again.

One heap holds what is to come: (time, user number) of a user who thinks, (time, n_users + serial) of a retry, which
keeps a request slot while it waits. So a user has at most one entry, and users + slots entries are room enough.
"""

from __future__ import annotations

from mmesim.core.types import NONE
from mmesim.dataplane.heap import push
from mmesim.dataplane.jit import kernel
from mmesim.dataplane.splitmix import draw
from mmesim.dataplane.state import BLOCK, RETRY, State


@kernel
def push_client(s: State, t: int, entity: int, slot: int) -> None:
    """Something a client does at `t`."""
    n = s.clock["n_clients"][0]
    push(s.clients, 0, n, t, entity, slot)
    s.clock["n_clients"][0] = n + 1


@kernel
def think(s: State, user: int, seen_ns: int) -> None:
    """A user who has got the end of an invocation at `seen_ns` thinks until the next."""
    issued = s.users["issued"][user]
    pause = s.draws["think_ns"][user, (issued - 1) % BLOCK]
    push_client(s, seen_ns + pause, user, NONE)


@kernel
def is_retried(s: State, slot: int, failure: int) -> bool:
    """Whether the caller tries again after this failure."""
    clock = s.clock
    return (clock["retry_mask"][0] >> failure & 1 == 1
            and s.requests["attempt"][slot] < clock["attempts"][0])


@kernel
def schedule_retry(s: State, slot: int, t: int) -> None:
    """The invocation in this slot, which failed at `t`, waits in it for its next attempt."""
    clock, r = s.clock, s.requests
    attempt, serial = r["attempt"][slot], r["serial"][slot]
    full = s.pauses[attempt]
    jitter = (full * clock["jitter_q16"][0] >> 16) * (draw(clock["retry_seed"][0], serial, attempt) >> 46) >> 16
    r["stage"][slot] = RETRY
    push_client(s, t + full - jitter, clock["n_users"][0] + serial, slot)
