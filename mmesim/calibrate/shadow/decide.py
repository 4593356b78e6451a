"""A live journal replayed with the live policies in charge and second ones looking on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mmesim.calibrate.shadow.both import BothPlace, BothPrewarm, Onlooker, both, give_streams
from mmesim.calibrate.shadow.tally import Tally
from mmesim.core.events import Event, MetricsPublished
from mmesim.core.policy import Policies, Prewarm
from mmesim.journal.entries import Entry
from mmesim.live.replay import Replay
from mmesim.live.setup import Setup
from mmesim.units import ns


@dataclass
class _Planner:
    """A second policy that plans ahead beside a live one that never does: it is asked at times of its own."""

    kind: str
    period_ns: int
    ask: Callable[[int], Any]
    due_ns: int = 0

    def asked(self, now_ns: int, tally: Tally) -> None:
        """Note its plans when they are due."""
        if now_ns >= self.due_ns:
            self.due_ns = now_ns + self.period_ns
            plans = list(self.ask(now_ns))
            tally.note(self.kind, now_ns, list[Prewarm](), plans, "ahead", tally.plans)


class Shadow:
    """Feed it a journal's lines; `tally` grows, as long as the replay is equal."""

    def __init__(self, live: Setup, second: Setup) -> None:
        first, others = live.policies(), second.policies()
        self.tally = Tally(lambda model: self._endpoint.specs[model].name or f"model {model}")
        self._policies = both(first, others, self.tally)
        self.replay = Replay(live, self._policies, also=_Looker(self))
        self._endpoint = self.replay.machine.controller.endpoint
        give_streams(first, live.seed)
        give_streams(others, live.seed)
        self._planners = self._beside(first, others)

    def _beside(self, first: Policies, others: Policies) -> list[_Planner]:
        sight = self._endpoint.sight
        pairs = ((BothPrewarm, "prewarming", first.prewarm, others.prewarm, others.prewarm.plan),
                 (BothPlace, "rearrangement", first.placement, others.placement, others.placement.rearrange))
        return [_Planner(kind, ns(second.period_s), lambda now_ns, ask=ask: ask(sight, now_ns))  # type: ignore[misc]
                for _, kind, live, second, ask in pairs if live.period_s <= 0 < second.period_s]

    @property
    def notes(self) -> list[str]:
        """What cannot be compared."""
        told = []
        if not self._policies.routing.comparable:  # type: ignore[attr-defined]
            told.append("routing: one of the two is blind; they choose among different instances")
        return told

    def take(self, line: str, parse: Callable[[str], Entry], number: int) -> bool:
        """One line of the journal; False: the replay is not equal (see `replay.outcome`)."""
        return self.replay.take(line, parse, number)

    def looked(self, now_ns: int, event: Event) -> None:
        """After each step of the live controller."""
        scaling = self.replay.machine.controller.scaling.metrics
        onlooker = self._policies.autoscaling[-1]
        assert isinstance(onlooker, Onlooker)
        if isinstance(event, MetricsPublished) and onlooker.wanted is not None:
            self.tally.note("autoscaling", now_ns, scaling.desired, onlooker.wanted, "instances", str)
        for planner in self._planners:
            if self._endpoint.fleet:
                planner.asked(now_ns, self.tally)


class _Looker:
    """A sink that only wants the steps."""

    def __init__(self, shadow: Shadow) -> None:
        self._shadow = shadow

    def step(self, now_ns: int, event: Event, *_: object) -> None:
        """See `Sink`."""
        self._shadow.looked(now_ns, event)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None
