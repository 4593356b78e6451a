"""The race of all arms: branch and bound, each arm sized by bisection.

* Every arm has a cost that it cannot be below (:func:`mmesim.planner.analytic.least_instances`, a proof, no estimate).
  An arm whose bound is above the best candidate that met the objective is never simulated.
* Sizes that would cost more than the best so far are not looked at, so most arms end after one run: the largest fleet
  that would still be cheaper, and fails.

Arms are worked on side by side, a run each, in a fixed order: the same question makes the same runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mmesim.planner.plan.search import Prospect, RuledOut, Search
from mmesim.planner.plan.space import Arm
from mmesim.planner.plan.tuning import tuned
from mmesim.planner.plan.work import Work

SIDE_BY_SIDE = {False: 2, True: 4}
"""Has numbers to be found -> arms worked on at once: numbers of their own, or the plan would depend on the machine.
What one arm finds shortens only those that come after it."""


def race(search: Search, arms: Sequence[Arm]) -> None:
    """Find the best of the arms: `search.best`."""
    prospects = sorted(map(search.prospect, arms), key=lambda one: (one.likely_cost_per_hour, one.arm.name))
    for tunes, at_once in SIDE_BY_SIDE.items():  # what takes few runs first: its best makes the rest shorter
        search.work_off([_of_arm(search, one) for one in prospects if bool(one.arm.tune) is tunes], at_once)


def _of_arm(search: Search, prospect: Prospect) -> Work:
    """One arm, with its numbers found first where it has any."""
    if prospect.least > search.bench.question.settings.instances.max:
        cost, why = prospect.least_cost_per_hour, prospect.need.why
        search.ruled_out.append(RuledOut(prospect.arm, prospect.least, cost, why))
    elif prospect.arm.tune and search.most(prospect) >= prospect.least:
        if found := (yield from tuned(search, prospect)):
            numbers, likely = found
            yield from search.smallest(replace(prospect, likely=likely), numbers)
    else:
        yield from search.smallest(prospect, {})
