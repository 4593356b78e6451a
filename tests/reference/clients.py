"""Who issues invocations: the open workload, closed-loop users, and both of them again when they retry."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mmesim.core.types import Failure
from mmesim.dataplane.api import RetrySpec, draw
from mmesim.workload.types import BLOCK, ArrivalSource, ClosedLoop
from reference.agenda import Agenda, Kind
from reference.invocation import Invocation

Issue = Callable[[Invocation], None]


def requests(source: ArrivalSource) -> Iterator[tuple[int, Invocation]]:
    """Time and invocation of each request of an open workload."""
    while (chunk := source.next_chunk()) is not None:
        for t_ns, model, items, work in zip(chunk.t_ns, chunk.model, chunk.items, chunk.work_q16, strict=True):
            yield int(t_ns), Invocation(int(model), int(items), int(work))


class OpenWorkload:
    """Issues each request at its time."""

    def __init__(self, source: ArrivalSource, agenda: Agenda, issue: Issue) -> None:
        self._requests = requests(source)
        self._agenda = agenda
        self._issue = issue
        self._number = 0
        self._schedule_next()

    def _schedule_next(self) -> None:
        following = next(self._requests, None)
        if following is not None:
            time_ns, invocation = following
            self._agenda.at(time_ns, Kind.ARRIVAL, self._number, lambda: self._arrive(invocation))
            self._number += 1

    def _arrive(self, invocation: Invocation) -> None:
        self._schedule_next()
        self._issue(invocation)


class Clients:
    """Closed-loop users, and what callers do after an end."""

    def __init__(self, loop: ClosedLoop | None, retry: RetrySpec, retry_seed: int, agenda: Agenda,
                 issue: Issue) -> None:
        self._loop = loop
        self._retry = retry
        self._retry_seed = retry_seed
        self._agenda = agenda
        self._issue = issue
        self.n_users = loop.n_users if loop else 0
        self._requests = [0] * self.n_users
        for user in range(self.n_users):
            self._wake_at(int(loop.start_ns[user]), user)

    def _wake_at(self, time_ns: int, user: int) -> None:
        self._agenda.at(time_ns, Kind.CLIENT, user, lambda: self._wake(user, time_ns))

    def _wake(self, user: int, now_ns: int) -> None:
        if now_ns >= self._loop.stop_ns[user]:
            return
        block, position = divmod(self._requests[user], BLOCK)
        self._requests[user] += 1
        model, think, work = (int(column[position]) for column in self._loop.draws(user, block))
        self._issue(Invocation(model, self._loop.items, work, user, think))

    def answered(self, invocation: Invocation, seen_ns: int) -> None:
        """The caller has its answer, or its last failure."""
        if invocation.user >= 0:
            self._wake_at(seen_ns + invocation.think_ns, invocation.user)

    def failed(self, invocation: Invocation, failure: Failure, now_ns: int) -> None:
        """The caller has a failure: it tries again, or gives up."""
        if failure.http_status in self._retry.on_status and invocation.attempt < self._retry.attempts:
            due_ns = now_ns + self.pause_ns(invocation)
            self._agenda.at(due_ns, Kind.CLIENT, self.n_users + invocation.serial,
                            lambda: self._issue(invocation.again()))
        else:
            self.answered(invocation, now_ns)

    def pause_ns(self, invocation: Invocation) -> int:
        """Full backoff less its jitter."""
        backoff_ns = self._retry.backoff(invocation.attempt)
        jitter_ns = backoff_ns * self._retry.jitter_q16 >> 16
        random_q16 = draw(self._retry_seed, invocation.serial, invocation.attempt) >> 46
        return backoff_ns - (jitter_ns * random_q16 >> 16)
