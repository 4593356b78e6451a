"""One world from end to end: plans on the first part and on the rest, and the judgement of all on the rest.

Plans are made by `mmesim plan`: on the first part as it stands; on it with more traffic, a quarter more and, where the
trace has days, as much more as their trend foretells; and on the rest itself, which is the best plan in hindsight.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.held_out.judge import Court, Judged
from benchmarks.held_out.rivals import Known, known, rivals
from benchmarks.held_out.worlds import DAY_S, Part, World, cut
from mmesim.parallel import Workers
from mmesim.planner.runs.orders import Steps
from mmesim.results.plan import Option, Plan
from mmesim.results.plan_files import load
from mmesim.scenario.load import load_scenario


@dataclass(frozen=True)
class Held:
    """What came out of one world."""

    world: World
    first: Part
    rest: Part
    plans: dict[str, Plan]
    """Name in the table -> plan."""
    known: Known
    judged: Sequence[Judged]
    hindsight: Judged


def held_out(world: World, data: Path, work: Path, *, seeds: int, workers: Workers, steps: Steps | None = None,
             more: Sequence[str] = (), reasons: bool = True, first_s: float = 0.0, end_s: float = math.inf) -> Held:
    """Plan and judge; `more`: overrides of the scenario for everybody; `reasons`: those of the plan too (headroom)."""
    from mmesim.cli.progress import steps as shown

    first, rest = cut(world, data, work, first_s=first_s, end_s=end_s)
    given: dict[str, tuple[Part, tuple[str, ...]]] = {"the plan": (first, ())}
    if world.margin > 1:
        given[f"planned for {world.margin:g} x the traffic"] = (first, (f"workload.scale={world.margin}",))
    if world.has_days:
        factor = trend(first, rest.length_s)
        given[f"planned for the trend, {factor:.3g} x the traffic"] = (first, (f"workload.scale={factor:.4g}",))
    given["best in hindsight"] = (rest, ())
    plans = {name: _planned(world, part, work / f"plan-{i}", workers, [*more, *extra], reasons=reasons and i == 0)
             for i, (name, (part, extra)) in enumerate(given.items())}
    kind = _answer(plans["the plan"]).instance_type
    usual = load_scenario(str(world.scenario), [*first.overrides, *more, f"endpoint.instance_type={kind}",
                                                *_profiles(plans["the plan"])])
    found = known(usual)
    court = Court(world.scenario, [*rest.overrides, *more], work / "cells", seeds, workers, steps or shown)
    entries = [(f"{name}: {_answer(plan).name}", settings_of(plan)) for name, plan in plans.items()]
    entries += [(one.name, [f"endpoint.instance_type={kind}", *_profiles(plans["the plan"]), *one.settings])
                for one in rivals(found, usual.plan.instances.max)]
    judged = court.judge(entries)
    return Held(world, first, rest, plans, found, judged, judged[len(plans) - 1])


def trend(first: Part, ahead_s: float) -> float:
    """How many times the last day's traffic the last day to come has, by the exponential through the days that are
    known (least squares of the logarithm), without the first, which is warm-up."""
    import numpy as np

    days = np.arange(1, len(first.per_day))
    slope = float(np.polyfit(days, np.log(first.per_day[1:]), 1)[0])
    return max(1.0, math.exp(slope * ahead_s / DAY_S))


def settings_of(plan: Plan) -> list[str]:
    """What a plan has chosen, or what came nearest."""
    return [f"{path}={value}" for path, value in _answer(plan).settings.items()]


def _answer(plan: Plan) -> Option:
    option = plan.chosen or plan.nearest
    assert option, "a plan has one or the other"
    return option


def _profiles(plan: Plan) -> list[str]:
    """On the chosen type's device."""
    return [f"{path}={value}" for path, value in _answer(plan).settings.items() if path.endswith(".profile")]


def _planned(world: World, part: Part, folder: Path, workers: Workers, more: Sequence[str], *, reasons: bool) -> Plan:
    command = [sys.executable, "-m", "mmesim", "plan", str(world.scenario), "--out", str(folder.parent), "--name",
               folder.name, "--no-report", "--processes", str(workers.processes), "--json"]
    command += [] if reasons else ["--no-reasons"]
    for setting in (*part.overrides, *more):
        command += ["--set", setting]
    print(*command, file=sys.stderr)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return load(folder)
