"""Who sends what when: the scenario's arrivals, its closed-loop users, and their retries, on the clock of the run.

The rules are those of the simulator's clients (:mod:`mmesim.dataplane.clients` and the contract in
:mod:`mmesim.dataplane.api`): a user wakes at its start, and a think time after it has seen the end of its invocation;
awake at or after its stop, it ends. A failed attempt is tried again after a pause, if the scenario says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from heapq import heappop, heappush

from mmesim.core.types import NEVER_NS, NONE, Failure
from mmesim.dataplane.api import RetrySpec, draw
from mmesim.live.load.log import Invocation
from mmesim.workload.types import BLOCK, Arrivals, ArrivalSource, ClosedLoop

SLICE = 512
"""Arrivals taken out of an array at a time."""
Draws = tuple[list[int], list[int]]
"""Model and think time (ns) of a user's next requests."""


class Callers:
    """What is to be sent, in order of time."""

    def __init__(self, arrivals: ArrivalSource | None, clients: ClosedLoop | None, retry: RetrySpec,
                 retry_seed: int) -> None:
        self._arrivals = arrivals
        self._clients = clients
        self._retry, self._retry_seed = retry, retry_seed
        self._waiting: list[tuple[int, int, Invocation | None]] = []
        """Heap of what clients do next: (time, user or n_users + serial, what is tried again)."""
        self._open: Iterator[tuple[int, int, int]] = iter(())
        self._next: tuple[int, int, int] | None = None
        self._coming: asyncio.Task[Arrivals | None] | None = None
        self._issued = [0] * (clients.n_users if clients else 0)
        self._draws: dict[int, Draws] = {}
        self.n_issued = 0

    async def start(self) -> None:
        """Have the first arrivals and the users' first draws ready."""
        if self._clients is not None:
            for user in range(self._clients.n_users):
                self._draws[user] = self._drawn(user, 0)
                heappush(self._waiting, (int(self._clients.start_ns[user]), user, None))
        self._fetch()
        await self.refill()

    def due_ns(self) -> int:
        """When something is to be sent next; NEVER_NS: not before an answer comes, or more arrivals."""
        open_ns = self._next[0] if self._next else NEVER_NS
        return min(open_ns, self._waiting[0][0]) if self._waiting else open_ns

    def next(self) -> Invocation | None:
        """What is due next; None: a user who has ended."""
        if self._waiting and (self._next is None or self._waiting[0][0] <= self._next[0]):
            due_ns, caller, again = heappop(self._waiting)
            if again is not None:
                return self._issue(again.model, again.items, again.user, due_ns, again)
            return self._wake(caller, due_ns)
        assert self._next is not None
        due_ns, model, items = self._next
        self._next = next(self._open, None)
        return self._issue(model, items, NONE, due_ns)

    def ended(self, one: Invocation, failure: Failure, ended_ns: int) -> None:
        """Its sender has seen the end of an invocation: it tries again, or thinks."""
        retry = self._retry
        if failure and one.attempt < retry.attempts and failure.http_status in retry.on_status:
            pause_ns = retry.backoff(one.attempt)
            chance_q16 = draw(self._retry_seed, one.serial, one.attempt) >> 46
            jitter_ns = (pause_ns * retry.jitter_q16 >> 16) * chance_q16 >> 16
            heappush(self._waiting, (ended_ns + pause_ns - jitter_ns, len(self._issued) + one.serial, one))
        elif one.user != NONE:
            place = (self._issued[one.user] - 1) % BLOCK
            heappush(self._waiting, (ended_ns + self._draws[one.user][1][place], one.user, None))

    @property
    def dry(self) -> bool:
        """The arrivals at hand are used up, and more may come: `refill`."""
        return self._next is None and self._coming is not None

    async def refill(self) -> None:
        """Take up the next chunk of arrivals, which was drawn meanwhile."""
        while self.dry:
            assert self._coming is not None
            chunk = await self._coming
            self._coming = None
            if chunk is not None:
                self._open = _rows(chunk)
                self._next = next(self._open, None)
                self._fetch()

    async def close(self) -> None:
        """No more arrivals are wanted."""
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.gather(self._coming, return_exceptions=True)
            self._coming = None

    def _fetch(self) -> None:
        if self._arrivals is not None:
            self._coming = asyncio.create_task(asyncio.to_thread(self._arrivals.next_chunk))

    def _wake(self, user: int, now_ns: int) -> Invocation | None:
        assert self._clients is not None
        if now_ns >= self._clients.stop_ns[user]:
            return None
        block, place = divmod(self._issued[user], BLOCK)
        if place == 0 and block:
            self._draws[user] = self._drawn(user, block)
        self._issued[user] += 1
        return self._issue(self._draws[user][0][place], self._clients.items, user, now_ns)

    def _drawn(self, user: int, block: int) -> Draws:
        assert self._clients is not None
        models, think_ns, _ = self._clients.draws(user, block)
        return models.tolist(), think_ns.tolist()

    def _issue(self, model: int, items: int, user: int, due_ns: int, before: Invocation | None = None) -> Invocation:
        serial, self.n_issued = self.n_issued, self.n_issued + 1
        attempt, first_ns = (before.attempt + 1, before.first_issued_ns) if before else (1, due_ns)
        return Invocation(serial, model, items, user, attempt, due_ns, first_ns)


def _rows(chunk: Arrivals) -> Iterator[tuple[int, int, int]]:
    """Time, model and items of each, a slice at a time."""
    for start in range(0, len(chunk), SLICE):
        part = chunk[start:start + SLICE]
        yield from zip(part.t_ns.tolist(), part.model.tolist(), part.items.tolist(), strict=True)
