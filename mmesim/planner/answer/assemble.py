"""The plan as a value: what the search has found, and the reasons for it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from mmesim.planner.answer.headroom import headroom, more_traffic
from mmesim.planner.answer.limits import limits
from mmesim.planner.answer.mixed import mixed
from mmesim.planner.answer.options import FRONT, option_of, options, pareto
from mmesim.planner.answer.probe import Probe
from mmesim.planner.answer.swings import swings
from mmesim.planner.answer.words import sentences
from mmesim.planner.plan.decide import lost, survives
from mmesim.planner.plan.run import Found, exhaustive_requests
from mmesim.planner.plan.search import SAME_COST
from mmesim.planner.plan.trial import Level, Trial
from mmesim.results.plan import Alternative, Commitment, Headroom, Limit, Option, Plan, Swing, TargetFound
from mmesim.units import format_duration

MEASURED_ERROR = 0.1
"""Of service times that were measured, on another machine or day (assumed)."""


@dataclass
class Reasons:
    """What stands beside the answer; each part empty where it was not asked for, or there is none."""

    limits: Sequence[Limit] = ()
    headroom: Sequence[Headroom] = ()
    swings: Sequence[Swing] = ()
    survival: Sequence[TargetFound] = ()
    alternatives: list[Alternative] = field(default_factory=list)
    commitments: Sequence[Commitment] = ()


def answer(found: Found, say: Callable[[str], None], *, reasons: bool = True) -> Plan:
    """The whole plan. `reasons`: also what limits it, how much it may grow, what it rests on and what else there is."""
    beside = _reasons(found, say) if reasons else Reasons()
    plan = _assembled(found, beside)
    return replace(plan, sentences=sentences(plan, plan.option(plan.written)))


def _reasons(found: Found, say: Callable[[str], None]) -> Reasons:
    search = found.search
    subject = found.chosen or found.nearest
    if subject is None or not subject.seeds:
        return Reasons()
    probe = Probe(search.bench, subject)
    if found.chosen is None:
        say("what blocks it")
        beside = Reasons(limits(probe, subject)[0])
        beside.alternatives += _mixed(found, subject)
        return beside
    say("what limits it, how much it may grow, what it rests on")
    growth = headroom(probe)
    beside = Reasons(_limits(found, probe, growth), growth, _swings(found, subject), _survival(found, subject))
    say("what else there is")
    beside.alternatives += [*_alternatives(found, subject), *_mixed(found, subject)]
    beside.commitments = _commitments(found, subject)
    return beside


def _swings(found: Found, trial: Trial) -> Sequence[Swing]:
    """One seed of each: the same as the plan's, so that nothing but the setting differs."""
    bench, scaled = found.search.bench, trial.arm.error > 0
    error, source = (trial.arm.error, "the scaling rule's median error") if scaled else \
        (MEASURED_ERROR, "assumed of measured profiles")
    return swings(bench.question, Probe(bench, trial, most_seeds=1), error, source)


def _limits(found: Found, probe: Probe, growth: Sequence[Headroom]) -> Sequence[Limit]:
    """Of the next smaller fleet; where there is none, of the plan with the traffic that it cannot take."""
    trial = probe.trial
    if trial.instances > 1:
        smaller = found.search.trial(trial.arm, trial.instances - 1, dict(trial.numbers))
        found_limits, before = limits(probe, smaller)
        if not before.met:
            return found_limits
    traffic = next((one for one in growth if one.what == "traffic" and one.fails is not None), None)
    if traffic is None or traffic.fails is None:
        return ()
    grown = replace(trial, scenario=more_traffic(traffic.fails, trial.scenario))
    return limits(probe, grown)[0]


def _survival(found: Found, trial: Trial) -> Sequence[TargetFound]:
    """The targets after a loss: those of the search, or a look at the loss of an instance."""
    bench = found.search.bench
    if survives(bench):
        return [target for target in trial.targets if target.name.endswith(lost(bench))]
    if trial.scenario.workload.clients is not None:
        return ()
    orders = bench.orders(trial, Level.LOSS, range(bench.looks[0]))
    bench.run(orders, "an instance lost")
    return bench.judged([bench.cell(order) for order in orders], 0, f", {lost(bench)}")


def _alternatives(found: Found, trial: Trial) -> list[Alternative]:
    """Other kinds of endpoints, by arithmetic."""
    from mmesim.planner.alternatives import dedicated, inference_components, serverless
    asked, least = found.search.demand, trial.scenario.endpoint.availability_zones
    return [dedicated(trial.scenario, asked.rates_rps, asked.busiest_rps, least_per_endpoint=least),
            inference_components(trial.scenario, asked.rates_rps, asked.busiest_rps, least_per_endpoint=least),
            serverless(trial.scenario, asked.rates_rps, asked.busiest_rps)]


def _mixed(found: Found, trial: Trial) -> list[Alternative]:
    """A mixed fleet, if it was asked for and there is one."""
    one = mixed(found.search, trial) if found.search.bench.question.settings.mixed else None
    return [] if one is None else [one]


def _commitments(found: Found, trial: Trial) -> Sequence[Commitment]:
    """By the time that each number of instances ran."""
    from mmesim.planner.alternatives import commitments
    cells = found.search.whole(trial)
    levels: dict[int, float] = {}
    for cell in cells:
        for count, seconds in zip(cell.series["instances"], cell.series["interval_s"], strict=True):
            level = math.ceil(count) if math.isfinite(count) else 0
            levels[level] = levels.get(level, 0.0) + float(seconds) / 3600
    return commitments(sorted((hours, level) for level, hours in levels.items()), trial.arm.kind)


# ---- put together


def _assembled(found: Found, beside: Reasons) -> Plan:
    search = found.search
    question, bench = search.bench.question, search.bench
    every = options(search, found.not_made)
    front = next((target.key for target in question.targets if target.key.startswith("latency")), FRONT)
    chosen = option_of(search, found.chosen) if found.chosen else None
    effort = {**found.effort, "ruled_out": len(search.ruled_out) + len(found.not_made),
              "exhaustive_requests": exhaustive_requests(found), "runs_with_reasons": bench.runs,
              "requests_with_reasons": bench.requests}
    written = option_of(search, found.written)
    beside.alternatives.append(_as_written(written))
    return Plan(
        name=question.name, command=question.command, scenario=question.scenario.resolved(),
        confidence=bench.confidence, objective={target.name: target.limit for target in question.targets},
        chosen=chosen, nearest=option_of(search, found.nearest) if found.nearest else None,
        runner_up=_runner_up(found, every), options=every, written=written.name, limits=beside.limits,
        headroom=beside.headroom, swings=beside.swings, pareto=pareto(every, front), front=front,
        alternatives=beside.alternatives, commitments=beside.commitments, survival=beside.survival, sentences=(),
        notes=_notes(found), effort=effort,
        timing={"wall_s": time.perf_counter() - found.started_s, "processes": question.workers.processes})


def _as_written(option: Option) -> Alternative:
    cost = option.cost_per_month
    return Alternative("as written", option.status == "met", cost.mean if cost else None, option.instances,
                       option.why, is_simulated=True)


def _runner_up(found: Found, every: Sequence[Option]) -> Option | None:
    """The best of another type or other settings: one that meets the objective first, else the one that costs least."""
    if found.chosen is None:
        return None
    chosen, price = found.chosen, found.search.cost_per_hour(found.chosen)
    others = [trial for trial in found.search.trials.values()
              if trial.arm.name != chosen.arm.name and trial is not found.written and trial.status in ("met", "missed")]
    met = sorted((trial for trial in others if trial.status == "met"), key=found.search.cost_per_hour)
    missed = sorted((trial for trial in others if trial.seeds), key=found.search.slack)
    best = next(iter([*met, *missed]), None)
    if best is not None:
        option = option_of(found.search, best)
        why = _why_dearer(found.search.cost_per_hour(best), price) if best.status == "met" else option.why
        return replace(option, why=why)
    ruled = [option for option in every if option.status == "ruled out" and option.cost_per_month]
    return ruled[0] if ruled else None


def _why_dearer(cost: float, price: float) -> str:
    more = cost / price - 1 if price else 0.0
    if more <= SAME_COST:
        return "costs the same, and is nearer to the limit"
    return f"meets the objective too, and costs {more:.0%} more"


def _notes(found: Found) -> list[str]:
    """What the plan rests on."""
    question, subject = found.search.bench.question, found.chosen or found.nearest
    notes = list(dict.fromkeys(note for arm in found.arms for note in arm.notes)) if subject is None else \
        list(subject.arm.notes)
    if subject is not None:
        mark = subject.arm.kind.marks.get("price_per_hour")
        notes.append(f"price of {subject.arm.kind.name}: ${subject.arm.price_per_hour:g} an hour, {mark}: "
                     f"{subject.arm.kind.source}, {subject.arm.kind.date}")
        if subject.instances == question.settings.instances.max:
            notes.append(f"the fleet is as large as plan.instances.max allows ({subject.instances})")
    if found.search.bench.busiest_is_worth:
        windows = found.search.windows
        notes.append(f"reasons are foretold from the busiest {format_duration(windows.length_s)}, from "
                     f"{format_duration(windows.start_s)} on, with the difference to the whole run taken over")
    notes.append("a fleet that is larger than one that meets the objective is taken to meet it too")
    return notes


