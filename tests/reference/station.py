"""Weighted processor sharing in integer virtual time: the device and the host CPUs of one instance."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

from mmesim.dataplane.api import ONE_Q16
from reference.agenda import Agenda, Entry, Kind


@dataclass(eq=False)
class Job:
    """Something a station works on; `finished` is called with the time of its end."""

    weight_q16: int
    demand_ns: int
    finished: Callable[[int], None]


class Station:
    """One processor-sharing server. `capacity_q16` is 65536 for a device, vCPUs·65536 for the host."""

    def __init__(self, number: int, capacity_q16: int, interference_q16: int, agenda: Agenda,
                 on_event: Callable[[Station], None]) -> None:
        self.number = number
        self.capacity_q16 = capacity_q16
        self.interference_q16 = interference_q16
        self.agenda = agenda
        self.on_event = on_event
        self.factor_q16 = ONE_Q16
        self.busy = 0
        """Integral of min(capacity, sum of weights), Q16·ns, since it was last taken."""
        self.jobs_ns = 0
        """Integral of the number of jobs since it was last taken."""
        self.jobs: list[tuple[int, int, Job]] = []
        self.virtual = 0
        self.at_ns = 0
        self.started = 0
        self.entry: Entry | None = None

    @property
    def weight_q16(self) -> int:
        """Sum of the weights of the jobs."""
        return sum(job.weight_q16 for _, _, job in self.jobs)

    def speed(self) -> int:
        """Speed of every job, Q16."""
        share = ONE_Q16 * self.capacity_q16 // max(self.capacity_q16, self.weight_q16)
        slowed = share * self.factor_q16 >> 16
        return max(1, slowed * self.interference() >> 16)

    def interference(self) -> int:
        """Speed that is left, Q16, by the mere number of jobs."""
        return ONE_Q16 * ONE_Q16 // (ONE_Q16 + self.interference_q16 * (len(self.jobs) - 1))

    def catch_up(self, now_ns: int) -> None:
        """Bring virtual time and integrals to `now_ns`."""
        passed_ns = now_ns - self.at_ns
        self.at_ns = now_ns
        if self.jobs:
            self.virtual += passed_ns * self.speed()
            self.busy += passed_ns * min(self.capacity_q16, self.weight_q16)
            self.jobs_ns += passed_ns * len(self.jobs)

    def start(self, job: Job, now_ns: int) -> None:
        """Begin a job."""
        self.catch_up(now_ns)
        if not self.jobs:
            self.virtual = 0
        tag = self.virtual + (job.demand_ns << 16)
        heapq.heappush(self.jobs, (tag, self.started, job))
        self.started += 1
        self.aim()

    def finish(self, now_ns: int) -> None:
        """A completion event: all jobs that are through leave, in order."""
        self.catch_up(now_ns)
        while self.jobs and self.jobs[0][0] <= self.virtual:
            _, _, job = heapq.heappop(self.jobs)
            job.finished(now_ns)
        self.aim()

    def set_factor(self, factor_q16: int, now_ns: int) -> None:
        """Change the speed from now on."""
        self.catch_up(now_ns)
        self.factor_q16 = factor_q16
        self.aim()

    def clear(self, now_ns: int) -> None:
        """Drop all jobs and go back to full speed."""
        self.catch_up(now_ns)
        self.jobs.clear()
        self.factor_q16 = ONE_Q16
        self.aim()

    def aim(self) -> None:
        """Schedule the next completion; a job that is through already leaves at once."""
        if self.entry:
            self.entry.cancel()
        if self.jobs:
            left = max(0, self.jobs[0][0] - self.virtual)
            due_ns = self.at_ns + -(-left // self.speed())
            self.entry = self.agenda.at(due_ns, Kind.STATION, self.number, lambda: self.on_event(self))
