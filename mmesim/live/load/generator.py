"""Sends a workload at its times, whatever the answers: no coordinated omission.

Latency counts from the time at which a request was *to be* sent (G. Tene, "How NOT to Measure Latency", 2015): a server
that stalls is charged for every request that came meanwhile, and so is a generator that is late, whose lag is recorded
beside it. Only `max_in_flight` bounds what is under way; what has to wait for that bound counts as sent late.

The run ends at its time, like a simulated one: what is under way then is counted as in flight.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from mmesim.live.load.alarm import Alarm
from mmesim.live.load.answers import Outcome
from mmesim.live.load.callers import Callers
from mmesim.live.load.log import Invocation, RequestLog
from mmesim.live.load.targets import Target
from mmesim.units import NS_PER_S

AT_ONCE = 64
"""Requests sent before answers are looked at again."""
LEAD_NS = 20_000_000
"""From the start to time 0."""
OVERDUE_NS = 100_000_000
"""What was due so long before the end and had not been sent is said not to have been sent in time for it."""
PROGRESS_S = 0.25
GRACE_S = 5.0
"""How long requests under way at the end are waited for, out of courtesy to the server."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    now_ns: int
    issued: int
    in_flight: int
    failed: int


@dataclass
class Effort:
    """How hard the generator worked."""

    wall_s: float = 0.0
    cpu_shares: list[float] = field(default_factory=list)
    """Of one core, second by second."""
    held_back: int = 0
    """Requests that found `max_in_flight` under way."""
    never_sent: int = 0
    """Requests that were overdue at the end."""
    peak_in_flight: int = 0


class Generator:
    """One run. `run` may be awaited once; `stop` ends it early."""

    def __init__(self, callers: Callers, target: Target, log: RequestLog, end_ns: int, max_in_flight: int) -> None:
        self._callers, self._target, self._log = callers, target, log
        self._end_ns, self._max = end_ns, max_in_flight
        self._under_way: dict[int, Invocation] = {}
        self._held_back: deque[Invocation] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sent = 0
        self._over = asyncio.Event()
        self._dry = asyncio.Event()
        self.effort = Effort()
        self.ended_ns = end_ns
        """When the run was over."""
        self.stopped = False

    def stop(self) -> None:
        """End the run now."""
        if not self._over.is_set():
            self.stopped, self.ended_ns = True, max(1, min(self._now_ns() + 1, self._end_ns))
            self._over.set()

    async def run(self, progress: Callable[[Progress], None] | None = None) -> None:
        """From time 0 to the end."""
        await self._callers.start()
        self._zero_ns = time.monotonic_ns() + LEAD_NS
        self._alarm = Alarm(self._ring)
        self._rearm()
        others = [asyncio.create_task(self._watch()), asyncio.create_task(self._refill())]
        if progress:
            others.append(asyncio.create_task(self._tell(progress)))
        try:
            await self._over.wait()
        finally:
            self._alarm.close()
            self.effort.wall_s = self._now_ns() / NS_PER_S
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            self._log_waiting()
            await self._callers.close()
            await self._leave()

    def _now_ns(self) -> int:
        return time.monotonic_ns() - self._zero_ns

    def _rearm(self) -> None:
        self._alarm.set(self._zero_ns + min(self._callers.due_ns(), self._end_ns))

    def _ring(self) -> None:
        """Send what is due; when much is, look at answers in between."""
        callers, now_ns = self._callers, self._now_ns()
        if now_ns >= self._end_ns:
            self._over.set()
            return
        for _ in range(AT_ONCE):
            if callers.due_ns() > now_ns:
                break
            if (one := callers.next()) is not None:
                self._issue(one)
        if callers.dry:
            self._dry.set()
        self._rearm()

    async def _refill(self) -> None:
        """More arrivals, when those at hand are used up; the run does not wait for them."""
        while True:
            await self._dry.wait()
            self._dry.clear()
            await self._callers.refill()
            self._rearm()

    def _issue(self, one: Invocation) -> None:
        self._under_way[one.serial] = one
        if self._sent < self._max:
            self._send(one)
        else:
            self.effort.held_back += 1
            self._held_back.append(one)

    def _send(self, one: Invocation) -> None:
        self._sent += 1
        self.effort.peak_in_flight = max(self.effort.peak_in_flight, self._sent)
        task = asyncio.create_task(self._invoke(one))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _invoke(self, one: Invocation) -> None:
        one.sent_ns = self._now_ns()
        outcome = await self._target.send(one.model, one.items)
        self._sent -= 1
        self._end(one, outcome)

    def _end(self, one: Invocation, outcome: Outcome) -> None:
        ended_ns = self._now_ns()
        if self._over.is_set() or ended_ns >= self._end_ns:  # counted as in flight
            return
        del self._under_way[one.serial]
        self._log.end(one, outcome, ended_ns)
        before_ns = self._callers.due_ns()
        self._callers.ended(one, outcome.failure, ended_ns)
        if self._held_back:
            self._send(self._held_back.popleft())
        if self._callers.due_ns() < before_ns:
            self._rearm()

    def _log_waiting(self) -> None:
        """All that was to be sent before the end and has not ended."""
        callers = self._callers
        while callers.due_ns() < self.ended_ns:
            if (one := callers.next()) is not None:
                self._under_way[one.serial] = one
        self.effort.never_sent = sum(one.sent_ns < 0 and self.ended_ns - one.issued_ns > OVERDUE_NS
                                     for one in self._under_way.values())
        for one in self._under_way.values():
            self._log.wait(one)

    async def _leave(self) -> None:
        """Requests under way may end, those held back are not sent any more."""
        self._held_back.clear()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GRACE_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._target.close()

    async def _watch(self) -> None:
        """This process's own use of the CPU."""
        wall_s, cpu_s = time.monotonic(), time.process_time()
        while True:
            await asyncio.sleep(1.0)
            now_s, used_s = time.monotonic(), time.process_time()
            self.effort.cpu_shares.append((used_s - cpu_s) / (now_s - wall_s))
            wall_s, cpu_s = now_s, used_s

    async def _tell(self, progress: Callable[[Progress], None]) -> None:
        while True:
            progress(Progress(self._now_ns(), self._callers.n_issued, len(self._under_way), self._log.failed))
            await asyncio.sleep(PROGRESS_S)
