"""Numbers of an arm, found by the optimiser: the cheapest among those that meet the objective.

The tree-structured Parzen estimator of optuna (Bergstra et al., NeurIPS 2011), which is told by how much a candidate
misses the objective (constraints), seeded: the same question asks for the same candidates. The fleet's size is one of
the numbers. Each candidate is run once, over the whole of the scenario; the numbers of the best are then sized and
settled like any other arm.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from mmesim.planner.plan.space import as_number
from mmesim.planner.plan.trial import Level, Trial
from mmesim.planner.runs.orders import Order
from mmesim.scenario.plan import Tune

if TYPE_CHECKING:
    import optuna

    from mmesim.planner.plan.search import Prospect, Search

AT_RANDOM = 5
"""Candidates before the estimator has anything to learn from."""
AT_ONCE = 2
"""Candidates asked for before the last ones are told: a number of its own, or the plan would depend on the machine."""


def tuned(search: Search, prospect: Prospect) -> Generator[list[Order], None, dict[str, str]]:
    """The best numbers of an arm, as written; of those that all miss the objective, the ones that miss it least."""
    study, left = _study(search.bench.question.scenario.seed), search.bench.question.settings.trials
    best: tuple[tuple[bool, float], dict[str, str]] | None = None
    while left > 0:
        asked = [study.ask() for _ in range(min(AT_ONCE, left))]
        trials = [_candidate(search, prospect, one) for one in asked]
        yield [order for trial in trials for order in search.bench.orders(trial, Level.WHOLE, [0])]
        for one, trial in zip(asked, trials, strict=True):
            missed_by, cost = _found(search, trial)
            one.set_user_attr("missed_by", missed_by)
            study.tell(one, cost)
            rank = (missed_by > 0, missed_by if missed_by > 0 else cost)
            if best is None or rank < best[0]:
                best = rank, dict(trial.numbers)
        left -= len(asked)
    assert best is not None
    return best[1]


def _study(seed: int) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=AT_RANDOM, constant_liar=True,
                                         constraints_func=_constraints)
    return optuna.create_study(sampler=sampler, direction="minimize")


def _constraints(one: optuna.trial.FrozenTrial) -> Sequence[float]:
    """Above 0: the objective is missed."""
    return (one.user_attrs.get("missed_by", 0.0),)


def _candidate(search: Search, prospect: Prospect, one: optuna.Trial) -> Trial:
    numbers = {path: as_number(tune, _suggested(one, path, tune)) for path, tune in prospect.arm.tune.items()}
    most = max(prospect.least, min(search.bench.question.settings.instances.max, search.most(prospect)))
    instances = prospect.least if most == prospect.least else one.suggest_int("instances", prospect.least, most)
    return search.trial(prospect.arm, instances, numbers)


def _suggested(one: optuna.Trial, path: str, tune: Tune) -> float:
    return one.suggest_float(path, tune.low, tune.high, step=tune.step, log=tune.log)


def _found(search: Search, trial: Trial) -> tuple[float, float]:
    """The largest excess of its run, and what it cost an hour."""
    [order] = search.bench.orders(trial, Level.WHOLE, [0])
    cell = search.bench.cell(order)
    trial.seeds = max(trial.seeds, 1)
    return search.bench.worst(cell)[0], search.cost_per_hour(trial)
