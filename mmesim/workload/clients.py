"""Closed-loop clients as Locust runs them.

Rules of Locust 2.x (documentation of `LoadTestShape` and `UsersDispatcher`; checked against
``locust/dispatch.py`` and ``locust/runners.py`` of its public repository), for one user class and an ideal
clock:

- The shape is asked at 0, 1, 2, … s; a stage holds while run time < `until`. A stage is therefore taken up at
the first whole second at or after the end of the one before, and one that lies between two ticks is never
seen. Equal (users, spawn_rate) in two stages running is no change. - Users start or stop in groups of max(1,
floor(spawn_rate)), the first at once, then every group / spawn_rate seconds: 5/s is 5 users each second,
2.5/s is 2 users each 0.8 s, 0.5/s is 1 user each 2 s. A change of stage ends the ramp that is under way. -
After the last stage (at its first tick) every user stops. - Locust's dispatcher takes back the user it added
last; which of the running users of that class then stops is left to the order of a set. Here it is the one
that started last. A request that is under way when its user stops is not the workload's business. - A user
sends its first request at once, and waits `wait_time` after each answer.

Each user draws from streams of its own, a block of requests at a time. Clients know all models, as the list
in a locustfile does: a model that is not there yet (or any more) is asked for all the same. Sessions are a
user's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mmesim.core.streams import stream
from mmesim.units import NS_PER_S, ns
from mmesim.workload.popularity import Alias, base_shares, carried
from mmesim.workload.processes import to_ns
from mmesim.workload.types import BLOCK, NEVER_NS, ClientsSpec, StageSpec, WorkloadModel, WorkloadSpec
from mmesim.workload.work import draw_q16, law_name, laws_of

Users = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Start and stop of each user in ns."""


class StagedClients:
    """See :class:`mmesim.workload.types.ClosedLoop`."""

    def __init__(self, spec: WorkloadSpec, models: Sequence[WorkloadModel], seed: int) -> None:
        assert spec.clients is not None
        self.items, self._seed, self._repeat = spec.items, seed, spec.session_repeat
        self.start_ns, self.stop_ns = _users(spec.clients)
        self.n_users = len(self.start_ns)
        self._wait = spec.clients.wait
        self._laws, self._law_of = laws_of(models)
        self._alias = Alias(base_shares(spec.popularity, models, seed))

    def draws(self, user: int, block: int) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        """See `ClosedLoop.draws`."""
        model = self._choices(user, block)
        think_ns = to_ns(self._wait.sample(self._stream(user, "think", block), BLOCK))
        return model, think_ns, self._work(user, block, model)

    def _choices(self, user: int, block: int) -> NDArray[np.int32]:
        fresh = self._alias.pick(self._stream(user, "popularity", block).random(BLOCK))
        if not self._repeat:
            return fresh
        again = self._stream(user, "sessions", block).random(BLOCK) < self._repeat
        again[0] &= block > 0
        # a session may reach back into earlier blocks, which are drawn again rather than remembered
        past = self._choices(user, block - 1)[-1:] if again[0] else fresh[:0]
        return carried(fresh, again.astype(np.int64), past)

    def _work(self, user: int, block: int, model: NDArray[np.int32]) -> NDArray[np.int64]:
        """A whole block from each law, so that a request's work depends on its place and its law only."""
        drawn = [draw_q16(law, self._stream(user, "work", law_name(law), block), BLOCK) for law in self._laws]
        return drawn[0] if len(drawn) == 1 else np.array(drawn)[self._law_of[model], np.arange(BLOCK)]

    def _stream(self, user: int, *names: str | int) -> np.random.Generator:
        return stream(self._seed, "clients", user, *names)


def staged_users(stages: Sequence[StageSpec]) -> Users:
    """When each user starts and stops, by Locust's rules; users in the order of their start."""
    start: list[int] = []
    stop: list[int] = []
    running: list[int] = []
    plan = _ramps(stages)
    for (begin_s, users, rate), (end_s, _, _) in pairwise(plan):
        group, at = max(1, math.floor(rate)), 0
        while len(running) != users and begin_s + at * group / rate < end_s:
            t_ns = begin_s * NS_PER_S + ns(at * group / rate)
            for _ in range(min(group, abs(users - len(running)))):
                if len(running) < users:
                    running.append(len(start))
                    start.append(t_ns)
                    stop.append(NEVER_NS)
                else:
                    stop[running.pop()] = t_ns
            at += 1
    for user in running:
        stop[user] = plan[-1][0] * NS_PER_S
    return np.array(start, dtype=np.int64), np.array(stop, dtype=np.int64)


def _users(spec: ClientsSpec) -> Users:
    if spec.stages:
        return staged_users(spec.stages)
    return np.zeros(spec.users, dtype=np.int64), np.full(spec.users, NEVER_NS, dtype=np.int64)


def _ramps(stages: Sequence[StageSpec]) -> list[tuple[int, int, float]]:
    """(second at which the ramp begins, users, spawn rate), ended by one at which all is over."""
    plan: list[tuple[int, int, float]] = []
    tick = 0
    for stage in stages:
        if tick < stage.until_s:
            if not plan or plan[-1][1:] != (stage.users, stage.spawn_rate):
                plan.append((tick, stage.users, stage.spawn_rate))
            tick = math.ceil(stage.until_s)
    return [*plan, (tick, 0, 0.0)]
