"""Numbers of an arm, found by the optimiser: the cheapest among those that meet the objective.

The tree-structured Parzen estimator of optuna (Bergstra et al., NeurIPS 2011), which is told by how much a candidate
misses the objective (constraints), seeded: the same question asks for the same candidates. The fleet's size is one of
the numbers. The first candidate has the numbers as written and the estimated size; once a fixed fleet does, only
smaller ones are tried, whatever their numbers: no others cost less. A candidate that parts of the whole rule out is
told as such; each other one is run once, and what would be the best of all with that one run is settled before it is
taken to be: luck with one seed neither ends the search nor leads it. An arm that has fallen behind the best of all is
given up (racing). The numbers of its best are then sized like any other.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Sequence
from math import inf
from statistics import fmean
from typing import TYPE_CHECKING

from mmesim.planner.plan.bench import CLOSE
from mmesim.planner.plan.decide import screened, survives
from mmesim.planner.plan.search import Prospect, Search
from mmesim.planner.plan.space import as_number
from mmesim.planner.plan.trial import Level, Trial
from mmesim.planner.plan.work import Work, together
from mmesim.planner.runs.orders import Order
from mmesim.scenario.plan import Tune

if TYPE_CHECKING:
    import optuna


AT_RANDOM = 4
"""Candidates before the estimator has anything to learn from, and before an arm can be given up."""
AT_ONCE = 2
"""Candidates asked for before the last ones are told: a number of its own, or the plan would depend on the machine."""
SIZE = "instances"
"""Its name among the numbers."""
BEHIND = 1.15
"""An arm whose best costs so many times the best of all is given up."""
LEAST_EXCESS = 0.01
"""Of what was not within the limits for sure, though on average it was."""


def tuned(search: Search, prospect: Prospect) -> Generator[list[Order], None, tuple[dict[str, str], int] | None]:
    """The best numbers of an arm, as written, and its size with them; of those that all miss the objective, the ones
    that miss it least (a larger fleet may do). None: they do, and cost more than the best of all."""
    study, trials = _study(search.bench.question.scenario.seed), search.bench.question.settings.trials
    likely = min(max(prospect.least, prospect.likely), _most(search, prospect))
    study.enqueue_trial({**prospect.arm.stands, SIZE: likely})
    best: tuple[tuple[bool, float], Trial] | None = None
    for number in range(0, trials, AT_ONCE):
        if number >= AT_RANDOM and best is not None and _is_behind(search, best[0]):
            break
        if (most := _most(search, prospect, best)) < prospect.least:
            break
        asked = [study.ask() for _ in range(min(AT_ONCE, trials - number))]
        tried = [_candidate(search, prospect, one, most) for one in asked]
        yield from together([_tried(search, trial) for trial in tried], AT_ONCE)
        for one, trial in zip(asked, tried, strict=True):
            rank = _rank(search, trial)
            if not rank[0] and (best is None or rank < best[0]) and not search.is_dearer(trial):
                yield from search.settle(trial)
                rank = _rank(search, trial)
            one.set_user_attr("missed_by", rank[1] if rank[0] else 0.0)
            study.tell(one, _cost(search, trial))
            if best is None or rank < best[0]:
                best = rank, trial
    assert best is not None
    misses, _ = best[0]
    if not misses and _is_behind(search, best[0]):
        return None
    return dict(best[1].numbers), best[1].instances


def _is_behind(search: Search, rank: tuple[bool, float]) -> bool:
    if search.best is None:
        return False
    misses, much = rank  # of what misses all limits by little, other numbers may do
    return much > CLOSE if misses else much > BEHIND * search.cost_per_hour(search.best)


def _study(seed: int) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():  # constraints are "experimental", and have been for years
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=AT_RANDOM, constant_liar=True,
                                             constraints_func=_constraints)
    return optuna.create_study(sampler=sampler, direction="minimize")


def _constraints(one: optuna.trial.FrozenTrial) -> Sequence[float]:
    """Above 0: the objective is missed."""
    return (one.user_attrs.get("missed_by", 0.0),)


def _most(search: Search, prospect: Prospect, best: tuple[tuple[bool, float], Trial] | None = None) -> int:
    """The largest size that is worth a try; below the least one: none is."""
    if best is None or best[0][0] or prospect.arm.autoscales:
        return max(prospect.least, search.most(prospect))
    return best[1].instances - 1


def _candidate(search: Search, prospect: Prospect, one: optuna.Trial, most: int) -> Trial:
    numbers = {path: as_number(tune, _suggested(one, path, tune)) for path, tune in prospect.arm.tune.items()}
    instances = prospect.least if most == prospect.least else one.suggest_int(SIZE, prospect.least, most)
    return search.trial(prospect.arm, instances, numbers)


def _suggested(one: optuna.Trial, path: str, tune: Tune) -> float:
    return one.suggest_float(path, tune.low, tune.high, step=tune.step, log=tune.log)


def _tried(search: Search, trial: Trial) -> Work:
    """Its parts, and once the whole if they allow it; once there is an answer, only if the whole is expected to do. The
    parts themselves may well miss the objective."""
    if trial.status == "open":
        yield from screened(search.bench, trial)
    if trial.status == "open" and (search.best is None or _expected_excess(search, trial) <= 0):
        yield search.bench.orders(trial, Level.WHOLE, [0])
        trial.seeds = max(trial.seeds, 1)


def _expected_excess(search: Search, trial: Trial) -> float:
    """By the parts that were run; nothing is expected of none."""
    bench = search.bench
    made = [(order, level) for level in trial.screens for order in bench.orders(trial, level, [0]) if bench.has(order)]
    return max((bench.expected_excess(bench.cell(order), level) for order, level in made), default=-inf)


def _rank(search: Search, trial: Trial) -> tuple[bool, float]:
    """Less is better: (misses the objective, largest excess), or (does not, as far as is known; dollars an hour)."""
    bench = search.bench
    cells = [bench.cell(one) for one in bench.orders(trial, Level.WHOLE, range(trial.seeds))]
    excess = fmean(bench.worst(cell)[0] for cell in cells) if cells else _expected_excess(search, trial)
    if survives(bench):
        excess = max([excess, *(bench.worst(bench.cell(one))[0] for one in bench.orders(trial, Level.LOSS, [0])
                                if bench.has(one))])
    is_settled = bool(trial.targets)
    if trial.status != "met" if is_settled else excess > 0 or trial.status == "missed":
        return True, max(excess, LEAST_EXCESS)
    return False, _cost(search, trial)


def _cost(search: Search, trial: Trial) -> float:
    """Dollars an hour, at least."""
    return search.cost_per_hour(trial) if trial.seeds else trial.instances * trial.arm.price_per_hour
