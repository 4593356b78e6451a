"""The front end of one instance: threads that receive and decode requests, first come, first served."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from reference.agenda import Agenda, Entry, Kind
from reference.invocation import Invocation

Handler = Callable[[Invocation], None]
Waiting = tuple[Invocation, int, Handler]
"""Invocation, time that it takes, who gets it then."""


class FrontEnd:
    """A line, and threads that are busy with one invocation each."""

    def __init__(self, threads: int, agenda: Agenda) -> None:
        self.threads = threads
        self.agenda = agenda
        self.line: deque[Waiting] = deque()
        self.busy: dict[int, Entry] = {}
        """By thread: the end of what it does."""

    def receive(self, invocation: Invocation, demand_ns: int, handler: Handler, now_ns: int) -> None:
        """An invocation comes; `handler` gets it when it has been decoded."""
        self.line.append((invocation, demand_ns, handler))
        self.work(now_ns)

    def work(self, now_ns: int) -> None:
        """Free threads, the lowest first, take from the line."""
        for thread in range(self.threads):
            if self.line and thread not in self.busy:
                self.take(thread, *self.line.popleft(), now_ns)

    def take(self, thread: int, invocation: Invocation, demand_ns: int, handler: Handler, now_ns: int) -> None:
        """A thread begins with an invocation."""
        ends_ns = now_ns + demand_ns
        self.busy[thread] = self.agenda.at(ends_ns, Kind.FRONT_END, invocation.serial,
                                           lambda: self.done(thread, invocation, handler, ends_ns))

    def done(self, thread: int, invocation: Invocation, handler: Handler, now_ns: int) -> None:
        """A thread has decoded an invocation and takes the next."""
        del self.busy[thread]
        self.work(now_ns)
        handler(invocation)

    def clear(self) -> None:
        """The instance is gone."""
        self.line.clear()
        for entry in self.busy.values():
            entry.cancel()
        self.busy.clear()
