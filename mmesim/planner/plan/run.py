"""A plan from its question: bounds, search, and the reasons; all of it goes on where it was when asked again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mmesim.planner.analytic import demand
from mmesim.planner.plan.bench import Bench
from mmesim.planner.plan.question import Question
from mmesim.planner.plan.race import race
from mmesim.planner.plan.search import Search
from mmesim.planner.plan.space import Arm, NoArm, arms
from mmesim.planner.plan.trial import Level, Trial, Windows, busiest_s
from mmesim.planner.plan.work import Work
from mmesim.planner.runs.orders import Steps
from mmesim.results.folders import CELLS

AS_WRITTEN = "as written"


@dataclass
class Found:
    """What a search has found."""

    search: Search
    arms: Sequence[Arm]
    not_made: Sequence[NoArm]
    chosen: Trial | None
    nearest: Trial | None
    """Where nothing is chosen."""
    written: Trial
    """The scenario as it stands."""
    effort: dict[str, Any]
    started_s: float


def search(question: Question, steps: Steps, say: Callable[[str], None]) -> Found:
    """The cheapest candidate that meets the objective. Raises InputError; KeyboardInterrupt when stopped: what is
    finished stays stored."""
    started_s = time.perf_counter()
    question.check()
    made, not_made = arms(question)
    asked = demand(question.scenario, busiest_s(question.scenario))
    windows = Windows.of(question.scenario, asked)
    bench = Bench(question, question.folder / CELLS, steps, windows.is_worth(question.scenario))
    looking = Search(bench, windows, asked, say)
    race(looking, made)
    effort = {"runs": bench.runs, "requests": bench.requests, "stored_before": bench.stored}
    written = _written(question, looking)
    looking.work_off([_for_sure(looking, written)])
    nearest = None if looking.best else _nearest(looking, made)
    if nearest is not None:
        looking.work_off([looking.settle(nearest)])
    return Found(looking, made, not_made, looking.best, nearest, written, effort, started_s)


def _for_sure(looking: Search, trial: Trial) -> Work:
    """What looks good is settled; what is bad needs no more runs to be so."""
    yield from looking.decide(trial)
    if trial.status == "met":
        yield from looking.settle(trial)


def _written(question: Question, looking: Search) -> Trial:
    scenario = question.scenario
    kind = question.catalog[scenario.endpoint.instance_type]
    fleet = scenario.endpoint.instances
    arm = Arm(f"{kind.name}, {AS_WRITTEN}", kind, {}, scenario, {})
    trial = Trial(arm, fleet.min if arm.autoscales else fleet.initial, {}, scenario, looking.windows)
    return looking.trials.setdefault(trial.key, trial)


def _nearest(looking: Search, made: Sequence[Arm]) -> Trial | None:
    """Of the largest fleets, the one that misses the objective least."""
    most = looking.bench.question.settings.instances.max
    trials = [looking.trial(arm, most) for arm in made if not arm.tune]
    trials += [trial for trial in looking.trials.values() if trial.arm.tune]
    looking.work_off([_once(looking, trial) for trial in trials])
    return min(trials, key=looking.slack, default=None)


def _once(looking: Search, trial: Trial) -> Work:
    """One whole run at least."""
    if not trial.seeds:
        yield looking.bench.orders(trial, Level.WHOLE, [0])
        trial.seeds = 1


def exhaustive_requests(found: Found) -> int:
    """What running every candidate with every seed would take, at the requests of a whole run."""
    settings = found.search.bench.question.settings
    sizes = settings.instances.max - settings.instances.min + 1
    candidates = len(found.arms) * sizes * (settings.trials if settings.tune else 1)
    whole = max((sum(cell.invocations for cell in found.search.whole(trial)) // max(1, trial.seeds)
                 for trial in found.search.trials.values() if trial.seeds), default=0)
    return candidates * settings.seeds * whole


