"""The state of a search and its steps: what is known of each candidate, the best so far, the smallest fleet of an arm.

Within an arm the objective is taken to hold from some fleet size on (:mod:`mmesim.planner.plan.bracket`). Sizes that
would cost more than the best so far are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil, inf

from mmesim.planner.analytic import Demand, Need, least_cost_per_hour, least_instances, likely_instances
from mmesim.planner.plan.bench import Bench
from mmesim.planner.plan.bracket import Bracket
from mmesim.planner.plan.decide import decide, settle
from mmesim.planner.plan.space import Arm
from mmesim.planner.plan.trial import Level, Trial, Windows
from mmesim.planner.plan.work import Work, together
from mmesim.planner.runs.cells import Cell

SAME_COST = 1e-6
"""Costs that differ by less, in parts, are one cost."""


@dataclass(frozen=True)
class Prospect:
    """An arm as arithmetic sees it."""

    arm: Arm
    least: int
    """No smaller fleet can do."""
    need: Need
    likely: int
    likely_for: str
    """The resource that asks for so many."""
    least_cost_per_hour: float

    @property
    def likely_cost_per_hour(self) -> float:
        """At the estimate."""
        return max(self.least_cost_per_hour, self.likely * self.arm.price_per_hour)


@dataclass(frozen=True)
class RuledOut:
    """An arm, or its fleets from some size on, that was never simulated."""

    arm: Arm
    instances: int
    cost_per_hour: float
    """At least."""
    why: str


@dataclass
class Search:
    """One search; `best` and `trials` are its result."""

    bench: Bench
    windows: Windows
    demand: Demand
    say: Callable[[str], None]
    best: Trial | None = None
    trials: dict[tuple[object, ...], Trial] = field(default_factory=dict)
    ruled_out: list[RuledOut] = field(default_factory=list)

    def work_off(self, waiting: Sequence[Work], at_once: int = 2) -> None:
        """All of the work, so many pieces side by side; long runs begin first, or one would be waited for alone."""
        for wanted in together(waiting, at_once):
            longest_first = sorted(wanted, key=lambda order: -(order.scenario.duration or inf))
            self.bench.run(longest_first, self._so_far())

    def prospect(self, arm: Arm) -> Prospect:
        """What arithmetic says of an arm."""
        fleet = self.bench.question.settings.instances
        sized = arm.sized(arm.scenario, fleet.min)
        need = least_instances(sized, self.demand)
        likely, resource = likely_instances(sized, self.demand, fleet.max)
        least = fleet.max + 1 if need.instances == inf else max(fleet.min, ceil(need.instances - 1e-9))
        if arm.autoscales and least <= fleet.max:
            least = fleet.min  # it may grow beyond its least size
        cost = least_cost_per_hour(arm.sized(arm.scenario, min(least, fleet.max)), self.demand)
        return Prospect(arm, least, need, likely, resource, cost or 0.0)

    def trial(self, arm: Arm, instances: int, numbers: dict[str, str] | None = None) -> Trial:
        """The candidate; the same one whenever it is asked for."""
        numbers, scenario = numbers or {}, arm.scenario
        if numbers:
            changes = {**arm.settings, **numbers}
            scenario = self.bench.question.load([f"{path}={value}" for path, value in changes.items()])
        made = Trial(arm, instances, numbers, arm.sized(scenario, instances), self.windows)
        return self.trials.setdefault(made.key, made)

    def whole(self, trial: Trial) -> list[Cell]:
        """Its whole runs."""
        return [self.bench.cell(order) for order in self.bench.orders(trial, Level.WHOLE, range(trial.seeds))]

    def cost_per_hour(self, trial: Trial) -> float:
        """A fixed fleet's price; else the mean over its whole runs, infinite before there are any."""
        if not trial.arm.autoscales:
            return trial.instances * trial.arm.price_per_hour
        costs = [cell.values["cost.per_hour"] or 0.0 for cell in self.whole(trial)]
        return sum(costs) / len(costs) if costs else inf

    def decide(self, trial: Trial) -> Work:
        """Whether it meets the objective, with as few runs as tell."""
        yield from decide(self.bench, trial)
        if trial.status != "open":
            self.say(f"{trial.name}: {trial.status}" + (f" ({trial.why})" if trial.why else ""))

    def settle(self, trial: Trial) -> Work:
        """Whether it meets the objective, at the confidence."""
        yield from settle(self.bench, trial)
        self.say(f"{trial.name}: {trial.status} in {trial.seeds} whole runs" + (f" ({trial.why})" if trial.why else ""))

    # One arm.

    def smallest(self, prospect: Prospect, numbers: dict[str, str]) -> Work:
        """The smallest fleet of an arm that meets the objective, as long as it can be the best."""
        bracket = Bracket(prospect.least, prospect.likely)
        while True:
            if (n := bracket.next(self.most(prospect))) is None:
                if bracket.high is None or bracket.high > self.most(prospect):
                    self._close(prospect, bracket.low)
                    return
                n = bracket.high
                trial = self.trial(prospect.arm, n, numbers)
                if self.is_dearer(trial):
                    return
                yield from self.settle(trial)
                if trial.status == "met":
                    self._offer(trial)
                    return
                bracket.missed(n)
                continue
            trial = self.trial(prospect.arm, n, numbers)
            yield from self.decide(trial)
            (bracket.met if trial.status == "met" else bracket.missed)(n)
            if trial.status != "met" and self.is_dearer(trial):
                return

    def most(self, prospect: Prospect) -> int:
        """The largest fleet that may be the best, no dearer than the best so far; with autoscaling the least size of
        one, cheaper: at the same cost it would never scale."""
        most, price = self.bench.question.settings.instances.max, prospect.arm.price_per_hour
        if self.best is None or not price:
            return most
        best = self.cost_per_hour(self.best) * (1 + (-SAME_COST if prospect.arm.autoscales else SAME_COST))
        if prospect.least_cost_per_hour > best:
            return 0
        return min(most, int(best / price))

    def is_dearer(self, trial: Trial) -> bool:
        """Than the best so far; not while its cost is unknown."""
        cost = self.cost_per_hour(trial)
        return self.best is not None and inf > cost > self.cost_per_hour(self.best)

    def _close(self, prospect: Prospect, low: int) -> None:
        """What is left of an arm when no larger fleet may be the best."""
        if self.best is None or low > self.bench.question.settings.instances.max:
            return
        least = max(prospect.least_cost_per_hour, low * prospect.arm.price_per_hour)
        why = f"{self.best.name} meets the objective and costs less"
        if low == prospect.least > self.bench.question.settings.instances.min:
            why = f"{prospect.need.why}; {why}"
        self.ruled_out.append(RuledOut(prospect.arm, low, least, why))

    def _offer(self, trial: Trial) -> None:
        """The best so far, if it is cheaper, or as cheap and further within the objective."""
        if self.best is not None:
            ours, best = self.cost_per_hour(trial), self.cost_per_hour(self.best)
            same = abs(ours - best) <= SAME_COST * max(ours, best)
            if (ours > best and not same) or (same and self.slack(trial) >= self.slack(self.best)):
                return
        self.best = trial

    def slack(self, trial: Trial) -> float:
        """Mean largest excess over its whole runs; less is better."""
        cells = self.whole(trial)
        return sum(self.bench.worst(cell)[0] for cell in cells) / len(cells)

    def _so_far(self) -> str:
        return f"best so far: {self.best.name}" if self.best else "searching"
