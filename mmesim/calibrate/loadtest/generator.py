"""The load generator as a part of the experiment: a few single-threaded processes that the users share.

What a client measures is not what an endpoint takes. Locust runs all users of a worker process in one thread (gevent):
while that thread encodes one user's request, the answers of the others lie unread, and their users' clocks go on. This
is the model of it, in the terms of queueing theory:

- users belong to `processes` processes in turn (user u to process u mod processes), as Locust's dispatcher does it;
- a process does one piece of work at a time, to its end: a user's *setup* when it starts (a client library is
  imported and configured), and for each request two *passes*: one that makes and sends it, one that reads the answer;
- of the pieces that wait, one is taken at random (an event loop has no order that its users could know);
- latency counts from the user's wish to send to the end of the reading pass, thinking begins then.

A pass takes half of a lognormal work per request. Random order is what makes latency under saturation nearly
exponential, as it was measured; first come, first served would make it nearly constant (see docs/validation.md).

Times are in ns. The endpoint between the passes is somebody else's: requests are given out, answers are told.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np

from mmesim.core.streams import stream
from mmesim.core.types import NEVER_NS
from mmesim.units import ns
from mmesim.workload.types import BLOCK, ClosedLoop

_WAKES, _IS_ANSWERED, _IS_DONE = range(3)
_SETUP, _SEND, _READ = range(3)
_CHUNK = 4096
"""Random numbers drawn at a time."""


Sent = tuple[int, int, int, int]
"""A request: time (ns), user, model, relative work (Q16)."""


@dataclass(frozen=True, slots=True)
class GeneratorSpec:
    """How the load is made."""

    processes: int
    """Single-threaded worker processes."""
    work_s: float
    """Mean work of a process for one request, both passes."""
    work_cv: float
    """Spread of that work between requests (lognormal)."""
    setup_s: float
    """Work of a process when a user starts."""


class LoadGenerator:
    """Users in processes; `run` gives what they send, `answer` tells them what came back."""

    def __init__(self, spec: GeneratorSpec, users: ClosedLoop, seed: int) -> None:
        self._spec, self._users = spec, users
        self._drawn: list[tuple[list[int], list[int], list[int]]] = [([], [], [])] * users.n_users
        self._sent = [0] * users.n_users
        self._wished_ns = [0] * users.n_users
        self._failed = [False] * users.n_users
        self._events = [(int(t), user, _WAKES, user) for user, t in enumerate(users.start_ns)]
        self._serial = users.n_users
        self._waiting: list[list[tuple[int, int]]] = [[] for _ in range(spec.processes)]
        self._busy: list[tuple[int, int] | None] = [None] * spec.processes
        self._outbox: list[Sent] = []
        self._order, self._spread = stream(seed, "load generator", "order"), stream(seed, "load generator", "work")
        self._draws = self._chunk()
        self.ended: list[tuple[int, int, bool]] = []
        """(time of its end, latency, failed) of every request, in order of ending."""

    @property
    def next_ns(self) -> int:
        """When something happens next; `NEVER_NS` when nothing will."""
        return self._events[0][0] if self._events else NEVER_NS

    def answer(self, user: int, seen_ns: int, failed: bool) -> None:
        """The answer to the user's request, or its failure, arrives at `seen_ns`."""
        self._failed[user] = failed
        self._push(seen_ns, _IS_ANSWERED, user)

    def run(self, until_ns: int) -> list[Sent]:
        """Everything strictly before `until_ns`; the requests that were sent, in order."""
        self._outbox = []
        while self._events and self._events[0][0] < until_ns:
            t, _, what, who = heappop(self._events)
            if what == _WAKES:
                self._wake(t, who)
            elif what == _IS_ANSWERED:
                self._ask_for_work(t, _READ, who)
            else:
                self._finish(t, who)
        return self._outbox

    def _push(self, t: int, what: int, who: int) -> None:
        self._serial += 1
        heappush(self._events, (t, self._serial, what, who))

    def _wake(self, t: int, user: int) -> None:
        if t >= self._users.stop_ns[user]:
            return
        first = self._sent[user] == 0 and self._spec.setup_s > 0
        self._wished_ns[user] = t
        self._ask_for_work(t, _SETUP if first else _SEND, user)

    def _ask_for_work(self, t: int, work: int, user: int) -> None:
        process = user % self._spec.processes
        self._waiting[process].append((work, user))
        if self._busy[process] is None:
            self._begin(t, process)

    def _begin(self, t: int, process: int) -> None:
        """One of the waiting pieces, at random, is begun."""
        waiting = self._waiting[process]
        order, spread = next(self._draws)
        at = int(order * len(waiting))
        waiting[at], waiting[-1] = waiting[-1], waiting[at]
        self._busy[process] = work, _ = waiting.pop()
        mean_s = self._spec.setup_s if work == _SETUP else self._spec.work_s / 2
        self._push(t + max(1, ns(mean_s * spread)), _IS_DONE, process)

    def _finish(self, t: int, process: int) -> None:
        busy = self._busy[process]
        assert busy is not None
        (work, user), self._busy[process] = busy, None
        if work == _SETUP:
            self._wished_ns[user] = t
            self._waiting[process].append((_SEND, user))
        elif work == _SEND:
            self._outbox.append((t, user, *self._draw(user)))
        else:
            self._end(t, user)
        if self._waiting[process]:
            self._begin(t, process)

    def _end(self, t: int, user: int) -> None:
        self.ended.append((t, t - self._wished_ns[user], self._failed[user]))
        self._push(t + self._drawn[user][1][(self._sent[user] - 1) % BLOCK], _WAKES, user)

    def _draw(self, user: int) -> tuple[int, int]:
        """Model and relative work of the user's next request."""
        block, at = divmod(self._sent[user], BLOCK)
        if at == 0:
            model, think_ns, work_q16 = self._users.draws(user, block)
            self._drawn[user] = (model.tolist(), think_ns.tolist(), work_q16.tolist())
        self._sent[user] += 1
        return self._drawn[user][0][at], self._drawn[user][2][at]

    def _chunk(self) -> Iterator[tuple[float, float]]:
        """Pairs of a uniform draw (which piece) and a lognormal one of mean 1 (how much work), for ever."""
        sigma2 = math.log1p(self._spec.work_cv**2)
        while True:
            spread = np.exp(self._spread.standard_normal(_CHUNK) * math.sqrt(sigma2) - sigma2 / 2)
            yield from zip(self._order.random(_CHUNK).tolist(), spread.tolist(), strict=True)
