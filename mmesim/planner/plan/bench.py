"""Where candidates are simulated, and what their runs say: the referee of a search.

Status comes from the runs of a candidate's own seeds (:mod:`mmesim.planner.check`). To drop a bad candidate after less,
there are shorter ways, each with what makes it safe:

* *sure*: requests that fail, or are too late, in the busiest time are so in the whole run; if they alone are more than
  the objective allows of all requests, the candidate misses it.
* *spread*: one seed decides where it is further from the limit than seeds differ, as measured over all candidates that
  had several: Student's t with the pooled spread.
* *both ends*: what misses a target by a tenth in the busiest and in the quietest time is taken to miss it over all.
* *a part for the whole*: predicted with the mean difference of the two over the candidates that had both, and
  trusted beyond the prediction interval of that difference, from `PAIRS` candidates on.

Distances from a limit are kept as `excess`: the logarithm of value over limit, in which spreads are alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from mmesim.planner.check import found
from mmesim.planner.compare.stats import confidence_at, looks
from mmesim.planner.plan.question import Question
from mmesim.planner.plan.trial import Level, Trial
from mmesim.planner.runs.cells import Cell
from mmesim.planner.runs.orders import Order, Steps, carry_out, order_of
from mmesim.results.objective import Target, measured
from mmesim.results.plan import Status, TargetFound
from mmesim.results.sketch import count_within
from mmesim.results.targets import target_title
from mmesim.units import NS_PER_MS, format_percent

FLOOR = 0.05
"""Of a limit: values further below differ by nothing that matters (a share of errors of 0 has no logarithm)."""
PAIRS = 3
"""Candidates simulated at both levels before the cheap one is trusted beyond what is sure."""
FREEDOM = 3
"""Degrees of freedom that a pooled spread needs to be of use."""
CLOSE = math.log(1.5)
"""Nearer to a limit than this, a missed target gets an interval of its own."""


def excess(value: float | None, limit: float) -> float:
    """0 at the limit, positive beyond it."""
    if value is None:
        return math.inf
    if limit <= 0:
        return 1.0 if value > 0 else -1.0
    return math.log((value / limit + FLOOR) / (1 + FLOOR)) if math.isfinite(value) else math.inf


@dataclass
class Bench:
    """Runs candidates and remembers what came out."""

    question: Question
    cells: Path
    """Folder of stored runs."""
    steps: Steps
    busiest_is_worth: bool
    runs: int = 0
    requests: int = 0
    """Simulated, of all runs that were needed, stored before or not."""
    stored: int = 0
    _known: dict[Path, Cell] = field(default_factory=dict, repr=False)
    _groups: dict[str, dict[tuple[object, ...], list[float]]] = field(default_factory=dict, repr=False)
    """Target -> candidate -> excess by seed, whole runs."""
    _pairs: dict[tuple[str, Level], dict[tuple[object, ...], tuple[float, float]]] = field(default_factory=dict,
                                                                                           repr=False)
    """(Target, level) -> candidate -> (excess there, whole), first seed."""

    @property
    def targets(self) -> Sequence[Target]:
        """What is asked."""
        return self.question.targets

    @property
    def confidence(self) -> float:
        """Of each claim."""
        return self.question.settings.confidence

    @cached_property
    def looks(self) -> list[int]:
        """Numbers of whole runs after which a candidate is judged by its own spread."""
        return looks(self.question.settings.seeds)

    def orders(self, trial: Trial, level: Level, seeds: Iterable[int], **scaled: float) -> list[Order]:
        """Runs of a candidate with the seeds of these numbers, 0 being the scenario's own."""
        first = self.question.scenario.seed
        return [order_of(trial.contender(level), first + seed, self.cells, scaled=scaled) for seed in seeds]

    def run(self, orders: Sequence[Order], what: str) -> None:
        """Make what is not stored."""
        missing = list({order.file: order for order in orders if order.file not in self._known}.values())
        self.stored += carry_out(missing, self.question.workers, what, self.steps)
        for order in missing:
            cell = order.load()
            self._known[order.file] = cell
            self.runs += 1
            self.requests += cell.invocations

    def has(self, order: Order) -> bool:
        """Whether a run was made."""
        return order.file in self._known

    def cell(self, order: Order) -> Cell:
        """Of a run that was made."""
        return self._known[order.file]

    def values(self, target: Target, cells: Iterable[Cell]) -> list[float | None]:
        """A target's value in each run; None where it does not exist."""
        return [measured(target, cell.values, cell.models) for cell in cells]

    def worst(self, cell: Cell) -> tuple[float, Target]:
        """The largest excess of a run and its target."""
        return max(((self.excess(target, cell), target) for target in self.targets), key=lambda one: one[0])

    def excess(self, target: Target, cell: Cell) -> float:
        """How far a run is beyond a target; what no model had requests enough for is not."""
        value = measured(target, cell.values, cell.models)
        if value is None and target.is_per_model:
            return -1.0
        return excess(value, target.limit)

    def requests_of(self, trial: Trial) -> int:
        """Simulated to decide on a candidate."""
        counts = {**dict.fromkeys(trial.screens, int(self.busiest_is_worth)), Level.LOSS: max(1, trial.losses),
                  Level.WHOLE: trial.seeds}
        files = {order.file for level, count in counts.items() for order in self.orders(trial, level, range(count))}
        return sum(self._known[file].invocations for file in files if file in self._known)

    # What runs say.

    def surely_missed(self, cell: Cell, level: Level, share: float) -> str:
        """Why a whole run misses a target, seen in a part with that share of its requests; "": it may not."""
        for target in self.targets:
            bad, allowed = _bad_share(target, cell)
            if bad * share > allowed:
                return f"{target_title(target.name)}: missed by {format_percent(bad)} of the {level.value}'s requests"
        return ""

    def learn_pair(self, trial: Trial, level: Level, part: Cell, whole: Cell) -> None:
        """A candidate was simulated at both levels."""
        for target in self.targets:
            pair = self.excess(target, part), self.excess(target, whole)
            if all(map(math.isfinite, pair)):
                self._pairs.setdefault((target.name, level), {})[trial.key] = pair

    def foreseen_missed(self, cell: Cell, level: Level) -> str:
        """Why a whole run is missed as far as a part of it foretells; "": it may not be."""
        for target in self.targets:
            pairs = list(self._pairs.get((target.name, level), {}).values())
            if len(pairs) < PAIRS:
                continue
            differences = np.array([whole - part for part, whole in pairs])
            half = self._t(len(pairs) - 1) * float(differences.std(ddof=1)) * math.sqrt(1 + 1 / len(pairs))
            if self.excess(target, cell) + float(differences.mean()) - half > 0:
                return f"{target_title(target.name)}: foretold by the {level.value}"
        return ""

    def expected_excess(self, cell: Cell, level: Level) -> float:
        """The largest excess of the whole run as a part of it lets expect; before that is known the whole may be half
        as far again within its limits as the part is."""
        found_ = []
        for target in self.targets:
            pairs = self._pairs.get((target.name, level), {}).values()
            difference = float(np.mean([whole - part for part, whole in pairs])) if len(pairs) >= PAIRS else -CLOSE
            found_.append(self.excess(target, cell) + difference)
        return max(found_)

    def learn_whole(self, trial: Trial, cells: Sequence[Cell]) -> None:
        """So many seeds of a candidate are there."""
        for target in self.targets:
            found_ = [self.excess(target, cell) for cell in cells]
            if all(map(math.isfinite, found_)):
                self._groups.setdefault(target.name, {})[trial.key] = found_

    def by_spread(self, cells: Sequence[Cell]) -> Status:
        """Met or missed where the runs are further from all limits than seeds differ; else open."""
        statuses = [self._by_spread(target, cells) for target in self.targets]
        return "missed" if "missed" in statuses else "met" if set(statuses) == {"met"} else "open"

    def _by_spread(self, target: Target, cells: Sequence[Cell]) -> Status:
        mean = float(np.mean([self.excess(target, cell) for cell in cells]))
        groups = [np.array(group) for group in self._groups.get(target.name, {}).values() if len(group) > 1]
        freedom = sum(len(group) - 1 for group in groups)
        if freedom < FREEDOM:
            return "open"
        spread = math.sqrt(sum(float(((group - group.mean()) ** 2).sum()) for group in groups) / freedom)
        half = self._t(freedom) * spread / math.sqrt(len(cells))
        return "met" if mean + half <= 0 else "missed" if mean - half > 0 else "open"

    def judged(self, cells: Sequence[Cell], look: int, suffix: str = "") -> tuple[TargetFound, ...]:
        """Each target with the interval of a candidate's own seeds, at the look's share of the confidence."""
        confidence = confidence_at(look, self.question.settings.seeds, self.confidence)
        return tuple(self._found(target, cells, confidence, suffix) for target in self.targets)

    def _found(self, target: Target, cells: Sequence[Cell], confidence: float, suffix: str) -> TargetFound:
        one = found(target, self.values(target, cells), confidence)
        return replace(one, name=one.name + suffix)

    def _t(self, freedom: int) -> float:
        from scipy.special import stdtrit

        return float(stdtrit(freedom, self.confidence))


def _bad_share(target: Target, cell: Cell) -> tuple[float, float]:
    """The share of a run's requests that speak against a target, and the share of all that may; (0, 1): unknown."""
    if target.key == "requests.error_rate":
        return cell.values[target.key] or 0.0, target.limit
    if target.key == "cache.cold_start_ratio":
        return cell.values[target.key] or 0.0, target.limit
    if target.key in QUANTILES:
        latencies = cell.sketch.sum(axis=0)
        within = count_within(latencies, target.limit * NS_PER_MS)
        return 1 - within / max(1, int(latencies.sum())), 1 - QUANTILES[target.key]
    return 0.0, 1.0


QUANTILES = {"latency.all.p50": 0.5, "latency.all.p99": 0.99}
"""Latency targets over all requests."""
