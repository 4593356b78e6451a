"""What a plan's targets, costs and options are called, and their numbers as text: on the page and in the terminal."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable

from mmesim.report.intervals import NO_INTERVAL, Shown, shown
from mmesim.report.wording import ABSENT, money, number, plural
from mmesim.results.comparison import METRICS, Interval
from mmesim.results.objective import KEYS
from mmesim.results.plan import Alternative, Commitment, Headroom, Limit, Option, Plan, TargetFound
from mmesim.results.targets import TARGETS, amount, target_title, unit_of

MOST_SAID = 4
"""Targets named in one sentence."""


# ---- targets


def objective(plan: Plan) -> str:
    """``p99 latency at most 500 ms, error rate at most 0.1 %``; the first of many."""
    said = [f"{target_title(name)} at most {amount(limit, unit_of(name))}" for name, limit in plan.objective.items()]
    more = len(said) - MOST_SAID
    return ", ".join(said if more <= 1 else [*said[:MOST_SAID], f"and {more} more"])


def with_interval(value: Interval, unit: str) -> Shown:
    """A mean and its interval, which is left out where it has no width."""
    text = shown(value, unit)
    return text if _has_width(value) else Shown(text.mean, "")


def _has_width(value: Interval) -> bool:
    """Of infinite width is one seed's, and that is said; arithmetic rests on none."""
    return value.n > 0 and (not math.isfinite(value.low) or value.high - value.low > 1e-6 * abs(value.mean))


def margin(target: TargetFound) -> str:
    """From the limit: ``23 % below``, ``4 % above``, ``3.2 × it``; empty where there is none."""
    if target.margin is None:
        return ""
    if target.margin < -1:
        return f"{_times(1 - target.margin)} it"
    return f"{abs(100 * target.margin):.0f} % {'below' if target.margin >= 0 else 'above'}"


def _times(factor: float) -> str:
    return f"{number(factor)} ×"


def by_margin(targets: Iterable[TargetFound]) -> list[TargetFound]:
    """Those that are missed first, then what has the least room."""
    order = {"missed": 0, "open": 1, "met": 2, "ruled out": 3}
    return sorted(targets, key=lambda each: (order[each.status], math.inf if each.margin is None else each.margin))


# ---- money


def dollars(value: float | None) -> str:
    """Whole dollars from 100 on."""
    return money(value) if value is not None and 0 < value < 99.995 else ABSENT if value is None else f"${value:,.0f}"


def per_month(value: Interval | None) -> Shown:
    """Cost per month and its interval, where that has a width that whole dollars show."""
    if value is None:
        return Shown("price unknown", "")
    low, high = dollars(value.low), dollars(value.high)
    if not _has_width(value) or low == high:
        return Shown(dollars(value.mean), "")
    return Shown(dollars(value.mean), f"[{low[1:]}, {high[1:]}]" if math.isfinite(value.low) else NO_INTERVAL)


def cost_of(option: Option) -> Shown:
    """The same of an option; of one that is ruled out, the least that it can cost."""
    cost = per_month(option.cost_per_month)
    least = option.status == "ruled out" and option.cost_per_month is not None
    return Shown(f"at least {cost.mean}", "") if least else cost


def commitment_words(each: Commitment) -> str:
    """``$1,541 with 2 instances committed for 1 year``."""
    return f"{dollars(each.cost_per_month)} with {plural(each.instances, 'instance')} committed for {each.term}"


def alternative_cost(each: Alternative) -> str:
    """``$3,130 per month``, or why there is no such number."""
    if not each.possible:
        return "not possible" if verdict(each) == "no" else verdict(each)
    return "price unknown" if each.cost_per_month is None else f"{dollars(each.cost_per_month)} per month"


def verdict(each: Alternative) -> str:
    """Whether it is possible; what can be simulated is, and may fall short of the objective."""
    return "yes" if each.possible else "falls short" if each.is_simulated else "no"


# ---- options


def fleet(option: Option) -> str:
    """``3``, or with autoscaling ``1 to 5``."""
    same = option.instances == option.most_instances
    return str(option.instances) if same else f"{option.instances} to {option.most_instances}"


def roles(plan: Plan) -> dict[str, str]:
    """Option name -> what it is in the answer: chosen, nearest, runner-up, as written, next cheaper."""
    found: dict[str, str] = {}
    written = next((each for each in plan.options if each.name == plan.written), None)
    named = {"chosen": plan.chosen, "nearest": None if plan.chosen else plan.nearest, "runner-up": plan.runner_up,
             "as written": written, "next cheaper": _next_cheaper(plan)}
    for role, option in named.items():
        if option is not None:
            found.setdefault(option.name, role)
    return found


def _next_cheaper(plan: Plan) -> Option | None:
    """The dearest whole option that costs less than the chosen one; without prices there is no such thing."""
    if plan.chosen is None or plan.chosen.cost_per_month is None:
        return None
    most = plan.chosen.cost_per_month.mean
    cheaper = [(each.cost_per_month.mean, each) for each in plan.options
               if each.is_whole and each.cost_per_month is not None and each.cost_per_month.mean < most]
    return max(cheaper, key=lambda pair: pair[0])[1] if cheaper else None


def headline(plan: Plan) -> tuple[str, str]:
    """(what is said, about which option): ``("Deploy", "3 x ml.g5.xlarge, gdsf")``."""
    if plan.chosen is not None:
        return "Deploy", plan.chosen.name
    return "Nothing in the space meets the objective", plan.nearest.name if plan.nearest else ""


def how_to_run(plan: Plan, option: Option) -> str:
    """The command that simulates this option alone."""
    words = shlex.split(plan.command)
    scenario = words[2] if words[:2] == ["mmesim", "plan"] and len(words) > 2 and words[2][0] != "-" else "S.yaml"
    changes = (word for path, value in option.settings.items() for word in ("--set", f"{path}={value}"))
    return shlex.join(["mmesim", "run", scenario, *changes])


# ---- reasons


def binding(plan: Plan) -> str:
    """What limits the plan, or blocks it, in one line; empty when nobody looked."""
    if not plan.limits:
        return ""
    bound = [each.resource for each in plan.limits if each.binds]
    if not bound:
        return "no single resource: more of any one alone would not do"
    return f"{' and '.join(bound)}{': either would do alone' if len(bound) > 1 else ''}"


def limit_words(each: Limit) -> str:
    """``GPU memory: with 4 x the memory p99 latency goes from 734 ms to 212 ms``."""
    unit = unit_of(each.target)
    return (f"{each.resource}: with {each.change} {target_title(each.target)} goes from {amount(each.before, unit)} to "
            f"{amount(each.after, unit)}")


def headroom_words(each: Headroom) -> str:
    """``traffic: up to 1.5 × as much; at 1.75 × p99 latency fails``."""
    noun = "many" if each.what == "models" else "much"
    holds = "no growth was seen to hold" if each.holds <= 1 else f"up to {_times(each.holds)} as {noun} holds"
    if each.fails is None:
        return f"{holds}; nothing failed up to there"
    return f"{holds}; at {_times(each.fails)} {target_title(each.target) if each.target else 'the objective'} fails"


# ---- the front's other side


def front_title(plan: Plan) -> str:
    """``p99 latency``."""
    known = {metric.key: metric.title for metric in METRICS}
    own = {KEYS[name]: TARGETS[name] for name in KEYS}
    return own.get(plan.front) or known.get(plan.front) or plan.front


def front_limit(plan: Plan) -> float | None:
    """The objective's limit on it."""
    return next((limit for name, limit in plan.objective.items() if KEYS.get(name) == plan.front), None)


def front_is_ms(plan: Plan) -> bool:
    """True for a latency, else it is a ratio."""
    return plan.front.startswith("latency.")
