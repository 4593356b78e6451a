"""Plans as `mmesim plan` could give, made by hand: for tests of what is drawn, printed and saved of them.

The numbers hang together as real ones do: more instances cost more and wait less, an option is met when all of its
targets are, and the front is what no other option beats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mmesim.results.comparison import Interval
from mmesim.results.fleet import HOURS_PER_MONTH
from mmesim.results.plan import (
    Alternative,
    Commitment,
    Headroom,
    Limit,
    Option,
    Plan,
    Status,
    Swing,
    TargetFound,
)

PRICES = {"ml.g4dn.xlarge": 0.736, "ml.g4dn.2xlarge": 0.94, "ml.g5.xlarge": 1.408, "ml.g5.2xlarge": 1.515,
          "ml.g6.xlarge": 1.127, "ml.g6.2xlarge": 1.222}
"""US dollars per hour, for these tests only."""
SPEED = {"ml.g4dn.xlarge": 0.8, "ml.g4dn.2xlarge": 1.0, "ml.g5.xlarge": 1.8, "ml.g5.2xlarge": 2.0, "ml.g6.xlarge": 1.4,
         "ml.g6.2xlarge": 1.5}
OBJECTIVE = {"p99_ms": 500.0, "error_rate": 0.001, "cold_start_ratio": 0.02}
P99, ERRORS, COLD, INSTANCES = "latency.all.p99", "requests.error_rate", "cache.cold_start_ratio", "instances.mean"
COMMAND = "mmesim plan day.yaml --set 'plan.instances={min: 1, max: 8}'"


def level(mean: float, part: float = 0.04, n: int = 5) -> Interval:
    """A mean with an interval of so much of it on either side; of one seed without any."""
    if n == 1:
        return Interval(mean, -math.inf, math.inf, 1)
    return Interval(mean, mean * (1 - part), mean * (1 + part), n)


def target(name: str, limit: float, value: Interval | None) -> TargetFound:
    """Judged by the whole interval."""
    unit = "ms" if "_ms" in name else "USD/h" if name.startswith("cost") else "ratio"
    status: Status = "open"
    if value is not None and value.high <= limit:
        status = "met"
    elif value is not None and value.low > limit:
        status = "missed"
    return TargetFound(name, limit, unit, value, status)


def option(kind: str, instances: int, policy: str, *, most: int | None = None, seeds: int = 5, priced: bool = True,
           objective: Mapping[str, float] = OBJECTIVE) -> Option:
    """A fleet that was simulated as a whole: its latency falls with what it can do."""
    strength = instances * SPEED[kind] * {"lru": 1.0, "gdsf": 1.25, "sieve": 1.12, "lfu": 0.9}[policy]
    p99, errors, cold = 2400 / strength ** 1.1, 0.004 / strength ** 2, 0.09 / strength
    values = {P99: level(p99, n=seeds), ERRORS: level(errors, 0.2, seeds), COLD: level(cold, 0.1, seeds),
              INSTANCES: Interval(instances, instances, instances, seeds)}
    found = {"p99_ms": values[P99], "error_rate": values[ERRORS], "cold_start_ratio": values[COLD]}
    targets = [target(name, limit, found.get(name)) for name, limit in objective.items()]
    status: Status = ("missed" if any(each.status == "missed" for each in targets) else
                      "open" if any(each.status == "open" for each in targets) else "met")
    worst = max(targets, key=lambda each: each.value.mean / each.limit if each.value else 0.0)
    why = {"met": "meets all targets", "open": f"{worst.name} is not decided"}.get(status, f"{worst.name} missed")
    cost = PRICES[kind] * HOURS_PER_MONTH * (instances if most is None else 0.7 * instances + 0.3 * most)
    name = f"{'at least ' if most else ''}{instances} x {kind}, {policy}"
    settings = {"endpoint.instance_type": kind, "endpoint.eviction.gpu": policy, "endpoint.instances": str(instances)}
    price = level(cost, 0.01 if most else 0.0, seeds)
    return Option(name, kind, instances, most or instances, settings, status, f"{why}.", price if priced else None,
                  targets, values, seeds, 120_000 * seeds)


def ruled_out(kind: str, instances: int, why: str) -> Option:
    """By arithmetic."""
    cost = PRICES[kind] * HOURS_PER_MONTH * instances
    return Option(f"{instances} x {kind}, any policy", kind, instances, instances, {"endpoint.instance_type": kind},
                  "ruled out", why, Interval(cost, cost, cost, 0))


def partly(kind: str, instances: int) -> Option:
    """Dropped after the busiest time alone."""
    made = option(kind, instances, "lfu")
    return replace(made, name=f"{instances} x {kind}, dropped", status="missed", targets=(), values={}, seeds=0,
                   requests=9_000, why="at the busiest time its p99 latency is 4.1 s, far above 500 ms.")


def front(options: Sequence[Option]) -> list[str]:
    """Names of the whole ones that no other beats."""
    best, names = math.inf, []
    for each in sorted((each for each in options if each.is_whole and each.cost_per_month is not None),
                       key=lambda each: (each.cost_per_month.mean, each.values[P99].mean)):  # type: ignore[union-attr]
        if each.values[P99].mean < best:
            best = each.values[P99].mean
            names.append(each.name)
    return names


def in_order(options: Sequence[Option]) -> list[Option]:
    """Cheapest first, ruled-out ones last."""
    def key(each: Option) -> tuple[bool, float]:
        return each.status == "ruled out", each.cost_per_month.mean if each.cost_per_month else each.instances
    return sorted(options, key=key)


def swing(setting: str, low: str, high: str, values: tuple[float, float, float], limit: float = 500.0) -> Swing:
    """Of p99: as planned, low end, high end."""
    planned, at_low, at_high = values
    return Swing(setting, "10th to 90th percentile of published measurements", low, high, "p99_ms", planned, at_low,
                 at_high, at_low <= limit, at_high <= limit)


def alternatives(cost: float | None) -> list[Alternative]:
    """All four, and the scenario as written."""
    parts = [{"endpoint": "hot", "models": "bert-large, resnet-3", "instance_type": "ml.g4dn.xlarge", "instances": 2,
              "cost_per_month": 1074.6},
             {"endpoint": "tail", "models": "498 others", "instance_type": "ml.g5.xlarge", "instances": 2,
              "cost_per_month": 2055.7}]
    return [Alternative("as written", True, 3 * (cost or 900.0), 8, "Meets all targets.", True),
            Alternative("dedicated endpoints", True, 268_640.0, 500, "One instance of ml.g4dn.xlarge for each model."),
            Alternative("inference components", False, None, None,
                        "A component takes whole GPUs: 500 models do not share one."),
            Alternative("serverless", False, None, None, "Serverless endpoints have no GPU."),
            Alternative("mixed fleet", True, 3130.3, 4, "The two hottest models on their own.", True, parts)]


def plan(options: Sequence[Option], chosen: Option | None, **changes: object) -> Plan:
    """A whole plan around its options."""
    others = [each for each in options if each.status == "met" and each is not chosen]
    cost = chosen.cost_per_month.mean if chosen and chosen.cost_per_month else None
    name = chosen.name if chosen else ""
    made = Plan(
        name="day-plan", command=COMMAND, scenario={"name": "day", "endpoint": {"instance_type": "ml.g4dn.2xlarge"}},
        confidence=0.95, objective=OBJECTIVE, chosen=chosen, nearest=None,
        runner_up=others[0] if others and chosen else None, options=in_order(options),
        written=options[-1].name if len(options) > 1 else "",
        limits=[Limit("GPU memory", "4 x the memory", True, "p99_ms", 734.0, 212.0),
                Limit("GPU time", "4 x as fast", False, "p99_ms", 734.0, 689.0),
                Limit("network", "4 x the bandwidth", False, "p99_ms", 734.0, 560.0),
                Limit("host CPU", "4 x as fast", False, "p99_ms", 734.0, 733.0)],
        headroom=[Headroom("traffic", 1.5, 1.75, "p99_ms"), Headroom("models", 2.0, 2.5, "cold_start_ratio")],
        swings=[swing("endpoint.storage.s3_connection_rate", "80 MB/s", "95 MB/s", (412.0, 655.0, 390.0)),
                swing("endpoint.storage.disk_read_rate", "200 MB/s", "900 MB/s", (412.0, 480.0, 371.0)),
                swing("profiles.resnet50.load_s", "0.8 s", "1.6 s", (412.0, 377.0, 468.0))],
        pareto=front(options), front=P99, alternatives=alternatives(cost),
        commitments=[Commitment("1 year", 1.01, 2, 0.75 * cost, 0.25), Commitment("3 years", 0.7, 2, 0.56 * cost, 0.44)]
        if cost else [],
        survival=[target("p99_ms, an instance lost", 500.0, level(488.0, 0.08)),
                  target("error_rate, an instance lost", 0.001, level(0.004, 0.1))],
        sentences=[f"Deploy {name}.", "GPU memory binds.", "Traffic may grow by half."],
        notes=["Profiles of the A10G are scaled from those of the T4.", "Prices of us-east-1."],
        effort={"runs": 86, "requests": 4_310_000, "ruled_out": 2, "exhaustive_requests": 31_200_000,
                "requests_with_reasons": 5_020_000},
        timing={"wall_s": 212.0, "processes": 2})
    return replace(made, **changes)  # type: ignore[arg-type]


def autoscaled() -> Plan:
    """A fleet that grows with its traffic; some options dropped early, some ruled out."""
    options = [option(kind, n, policy, most=n + 4) for kind in ("ml.g4dn.2xlarge", "ml.g5.xlarge")
               for n in (1, 2, 3, 4) for policy in ("lru", "gdsf")]
    options += [partly("ml.g6.xlarge", 1), ruled_out("ml.g4dn.xlarge", 1, "Its GPU would be busy 340 % of the time."),
                ruled_out("ml.g5.2xlarge", 8, "Costs more than what is known to do.")]
    return plan(options, cheapest(options), written=options[1].name)


def cheapest(options: Sequence[Option]) -> Option:
    """The cheapest that meets all."""
    return min((each for each in options if each.status == "met"),
               key=lambda each: each.cost_per_month.mean if each.cost_per_month else each.instances)


def infeasible() -> Plan:
    """Nothing does; the nearest misses p99 by half."""
    hard = {"p99_ms": 80.0, "error_rate": 0.001}
    options = [option("ml.g5.xlarge", n, policy, objective=hard) for n in (2, 4, 8) for policy in ("lru", "gdsf")]
    nearest = min(options, key=lambda each: each.values[P99].mean)
    return plan(options, None, nearest=nearest, objective=hard, headroom=[], swings=[], commitments=[], survival=[],
                limits=[Limit("GPU time", "4 x as fast", False, "p99_ms", 101.0, 93.0),
                        Limit("loads", "4 x as fast", True, "p99_ms", 101.0, 64.0)],
                sentences=["Nothing in the space meets the objective.", f"{nearest.name} comes nearest."])


def unpriced() -> Plan:
    """The catalog has no price for this type."""
    options = [option("ml.g6.2xlarge", n, "gdsf", priced=False) for n in range(1, 7)]
    chosen = min((each for each in options if each.status == "met"), key=lambda each: each.instances)
    bare = [replace(each, cost_per_month=None) for each in alternatives(None)]
    return plan(options, chosen, alternatives=bare, commitments=[], pareto=[each.name for each in options])


def single() -> Plan:
    """One fleet allowed, one seed, and nothing else asked."""
    only = option("ml.g5.xlarge", 4, "gdsf", seeds=1)
    only = replace(only, status="met", targets=[replace(each, status="met") for each in only.targets])
    return plan([only], only, limits=[], headroom=[], swings=[], alternatives=[], commitments=[], survival=[], notes=[],
                effort={}, timing={}, sentences=[])


def crowded(n: int = 60) -> Plan:
    """Many options, close together."""
    options = [option(kind, count, policy) for count in range(1, 9) for kind in SPEED
               for policy in ("lru", "gdsf", "sieve")][:n]
    return plan(options, cheapest(options), limits=[], swings=[
        swing(f"endpoint.storage.setting_{k}", f"{k} MB/s", f"{5 * k + 1} MB/s", (412.0, 412 + 12 * k, 412 - 9 * k))
        for k in range(14, 0, -1)])


def per_model(patterns: int = 12) -> Plan:
    """Targets of single models, one of which had no requests enough; a model's name holds a comma and dots."""
    names = ["resnet-*", "bert-*", "odd, v1.2", *(f"customer-{k:03}-classifier-v2-*" for k in range(patterns - 3))]
    objective = {"p99_ms": 800.0, **{f"models.{name}.p99_ms": 900.0 + 25 * k for k, name in enumerate(names)}}
    options = []
    for made in (option("ml.g5.xlarge", n, "gdsf", objective={"p99_ms": 800.0}) for n in range(1, 6)):
        level_ms = made.values[P99].mean
        own = [target(name, limit, level(level_ms * (1 + 0.11 * (k % 7)), 0.1) if k != 5 else None)
               for k, (name, limit) in enumerate(objective.items())]
        judged = [replace(each, status="met") if each.value is None else each for each in own]
        status: Status = next((kind for kind in ("missed", "open") for each in judged if each.status == kind), "met")
        options.append(replace(made, targets=judged, status=status))
    worst = f"models.{names[2]}.p99_ms"
    return plan(options, cheapest(options), objective=objective,
                limits=[Limit("GPU memory", "4 x the memory", True, worst, 1320.0, 402.0),
                        Limit("bursts", "traffic spread evenly", False, "p99_ms", None, 950.0)],
                headroom=[Headroom("traffic", 1.0, 1.1, worst), Headroom("models", 8.0, None, "")])


def mixed() -> Plan:
    """A mixed fleet is what to take; the scenario as written does not do."""
    options = [option("ml.g5.xlarge", n, "gdsf") for n in range(1, 6)]
    best = cheapest(options)
    options.append(replace(best, name=f"{best.name}, as written"))
    own = replace(best, name="mixed: 2 hot models on ml.g4dn.xlarge, the rest on 2 x ml.g5.xlarge, gdsf", instances=4,
                  most_instances=4, cost_per_month=level(3130.3, 0.0),
                  values={**best.values, P99: level(350.0)},
                  targets=[target("p99_ms", 500.0, level(350.0)), *best.targets[1:]])
    return plan([*options, own], own, runner_up=best, written=options[-1].name, alternatives=[
        replace(each, possible=False, why="Misses p99_ms: 2.4 s.") if each.kind == "as written" else each
        for each in alternatives(1500.0)])


PLANS: Mapping[str, Callable[[], Plan]] = {
    "autoscaled": autoscaled, "infeasible": infeasible, "unpriced": unpriced, "single": single, "crowded": crowded,
    "per_model": per_model, "mixed": mixed}
