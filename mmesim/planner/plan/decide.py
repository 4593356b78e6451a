"""Whether a candidate meets the objective: from the cheapest look to the dearest, as far as needed.

`decide` drops what is bad and lets pass what looks good; `settle` says it at the plan's confidence, and so does
`decide` of what is near a limit. Both ask for runs by yielding them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from mmesim.planner.check import status_of
from mmesim.planner.plan.bench import CLOSE, Bench
from mmesim.planner.plan.trial import Level, Trial
from mmesim.planner.plan.work import Work
from mmesim.planner.runs.cells import Cell
from mmesim.results.plan import TargetFound
from mmesim.results.targets import amount, target_title

BEYOND = math.log(1.1)
"""What is so far beyond a limit in the busiest and in the quietest time is taken to be beyond it over all."""


def decide(bench: Bench, trial: Trial) -> Work:
    """Sets the candidate's status to met or missed; "met" may rest on one run."""
    if trial.status == "open":
        yield from screened(bench, trial)
    if trial.status == "open":
        yield from _first(bench, trial)
    if trial.status == "open":
        yield from settle(bench, trial)


def screened(bench: Bench, trial: Trial) -> Work:
    """Sets the candidate's status to missed where parts of the whole say so."""
    beyond: set[str] = set()
    for number, level in enumerate(trial.screens if bench.busiest_is_worth else ()):
        if number and not trial.arm.autoscales and not beyond:
            break  # of a fleet that stays as it is the quietest time is of interest only if the busiest is bad
        [order] = orders = bench.orders(trial, level, [0])
        yield orders
        cell = bench.cell(order)
        if why := bench.surely_missed(cell, level, trial.windows.shares[level]) or bench.foreseen_missed(cell, level):
            trial.status, trial.why = "missed", why
            return
        far = {target.name for target in bench.targets if bench.excess(target, cell) > BEYOND}
        beyond = beyond & far if number else far
    if beyond and len(trial.screens) > 1:
        missed = ", ".join(map(target_title, sorted(beyond)))
        trial.status, trial.why = "missed", f"{missed}: missed in the busiest and in the quietest time"
        return
    if survives(bench):
        yield bench.orders(trial, Level.LOSS, [0])
        worst, target = bench.worst(bench.cell(*bench.orders(trial, Level.LOSS, [0])))
        if worst > CLOSE:
            much = f"more than {math.exp(CLOSE):g} x the limit"
            trial.status, trial.why = "missed", f"{target_title(target.name)}, {lost(bench)}: {much}"


def _first(bench: Bench, trial: Trial) -> Work:
    """One whole run, if it tells: seeds are known to differ little, or it is well within all limits. What is taken to
    be met is settled before it is an answer, so the second can do no harm."""
    yield bench.orders(trial, Level.WHOLE, [0])
    [cell] = cells = _cells(bench, trial, Level.WHOLE, 1)
    trial.seeds = 1
    for level in trial.screens if bench.busiest_is_worth else ():
        [part] = bench.orders(trial, level, [0])
        if bench.has(part):
            bench.learn_pair(trial, level, bench.cell(part), cell)
    worst, target = bench.worst(cell)
    status = "met" if worst < -CLOSE else bench.by_spread(cells)
    if status == "met" or (status == "missed" and worst > CLOSE):
        trial.status = status
        one = bench.judged(cells, 0)[bench.targets.index(target)]
        trial.why = said(replace(one, status="missed")) if status == "missed" else ""


def settle(bench: Bench, trial: Trial) -> Work:
    """Sets status and targets from as many seeds as it takes; what cannot be told with the most seeds stays open."""
    for look, count in enumerate(bench.looks):
        yield [*bench.orders(trial, Level.WHOLE, range(count)),
               *(bench.orders(trial, Level.LOSS, range(count)) if survives(bench) else [])]
        cells = _cells(bench, trial, Level.WHOLE, count)
        trial.seeds, trial.targets = count, bench.judged(cells, look)
        bench.learn_whole(trial, cells)
        if survives(bench):
            trial.losses = count
            trial.targets += bench.judged(_cells(bench, trial, Level.LOSS, count), look, f", {lost(bench)}")
        trial.status = status_of(trial.targets)
        if trial.status != "open":
            break
    trial.why = "; ".join(said(target) for target in trial.targets if target.status != "met")


def survives(bench: Bench) -> bool:
    """Whether the objective has to hold with a loss too."""
    return bench.question.settings.survive != "nothing"


def lost(bench: Bench) -> str:
    """``an instance lost``."""
    return {"zone": "a zone lost"}.get(bench.question.settings.survive, "an instance lost")


def said(target: TargetFound) -> str:
    """``p99 latency 812 ms [790 ms, 834 ms] > 500 ms``."""
    title = target_title(target.name)
    if target.value is None:
        return f"{title}: no such requests"
    sign = {"missed": ">", "met": "≤"}.get(target.status, "≈")
    value = target.value
    has_width = value.n > 1 and 0 < value.high - value.low < math.inf
    ends = f" [{amount(value.low, target.unit)}, {amount(value.high, target.unit)}]" if has_width else ""
    return f"{title} {amount(value.mean, target.unit)}{ends} {sign} {amount(target.limit, target.unit)}"


def _cells(bench: Bench, trial: Trial, level: Level, count: int) -> Sequence[Cell]:
    return [bench.cell(order) for order in bench.orders(trial, level, range(count))]
