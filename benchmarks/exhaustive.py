"""Plans against the truth: every candidate of a small space simulated with many seeds.

Run: ``python -m benchmarks.exhaustive [scenario …]`` for spaces of 72 candidates; ``--random 50`` for random small
spaces, where the plan and the truth have the same seeds; ``--seeds 24`` of the truth; ``--plan-seed`` of the plan.

The true best is the cheapest candidate whose mean over all seeds meets every target. The plan has other seeds and its
own rule, which asks for each target at the confidence: it may end at a dearer candidate when the true best is too near
to its limit to be told with the plan's most seeds (then it is "open" in the plan), and must not end at one that misses.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmesim.parallel import Workers
from mmesim.planner.analytic import demand
from mmesim.planner.answer.assemble import answer
from mmesim.planner.plan.bench import Bench
from mmesim.planner.plan.decide import lost, survives
from mmesim.planner.plan.question import Question
from mmesim.planner.plan.run import Found, search
from mmesim.planner.plan.search import Search
from mmesim.planner.plan.space import arms
from mmesim.planner.plan.trial import Level, Trial, Windows

SAME = 1e-6
"""Costs that differ by less, in parts, are one."""


def silent(_what: str, _total: int) -> AbstractContextManager[None]:
    """No progress."""
    return nullcontext(None)


@dataclass(frozen=True)
class Candidate:
    """One candidate with all its seeds."""

    name: str
    cost_per_hour: float
    means: Mapping[str, float | None]
    """Target -> mean over seeds; None: nothing to judge."""
    errors: Mapping[str, float]
    """Standard error of each mean."""
    limits: Mapping[str, float]
    requests: int
    trial: Trial = field(repr=False)

    @property
    def is_met(self) -> bool:
        """Every mean is within its limit."""
        return all(mean is None or mean <= self.limits[name] for name, mean in self.means.items())

    @property
    def nearest(self) -> float:
        """How many standard errors the target with the least margin is from its limit; negative: beyond it."""
        return min(((self.limits[name] - mean) / max(self.errors[name], 1e-12)
                    for name, mean in self.means.items() if mean is not None), default=np.inf)


def every_candidate(question: Question, seeds: int,
                    numbers: Mapping[str, Sequence[str]] | None = None) -> list[Candidate]:
    """The whole space with so many seeds, cheapest first; `numbers`: values of the numbers that a plan tunes."""
    made, _ = arms(question)
    asked = demand(question.scenario)
    bench = Bench(question, question.folder / ".cells", silent, False)
    looking = Search(bench, Windows.of(question.scenario, asked), asked, lambda _: None)
    sizes = range(question.settings.instances.min, question.settings.instances.max + 1)
    trials = [looking.trial(arm, n, one) for arm in made for one in _numbers(arm.tune, numbers or {}) for n in sizes]
    levels = [Level.WHOLE, *([Level.LOSS] if survives(bench) else [])]
    orders = [order for trial in trials for level in levels for order in bench.orders(trial, level, range(seeds))]
    bench.run(orders, "all")
    return sorted((_candidate(looking, trial, levels, seeds) for trial in trials),
                  key=lambda one: (one.cost_per_hour, one.name))


def _numbers(tuned: Mapping[str, Any], values: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """One number at a time: cases here tune one."""
    if not tuned:
        yield {}
    for path in tuned:
        yield from ({path: value} for value in values[path])


def _candidate(looking: Search, trial: Trial, levels: Sequence[Level], seeds: int) -> Candidate:
    bench = looking.bench
    means: dict[str, float | None] = {}
    errors, limits = {}, {}
    requests = 0
    for level in levels:
        cells = [bench.cell(order) for order in bench.orders(trial, level, range(seeds))]
        requests += sum(cell.invocations for cell in cells)
        for target in bench.targets:
            name = target.name if level is Level.WHOLE else f"{target.name}, {lost(bench)}"
            found = bench.values(target, cells)
            values = np.array([value for value in found if value is not None])
            unknown = None if target.is_per_model else np.inf
            means[name] = float(values.mean()) if len(values) else unknown
            errors[name] = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
            limits[name] = target.limit
    trial.seeds = seeds
    return Candidate(trial.name, looking.cost_per_hour(trial), means, errors, limits, requests, trial)


@dataclass(frozen=True)
class Judged:
    """A plan beside the truth."""

    verdict: str
    """same; dearer (the true best was open, or missed, in the plan); wrong (what it chose misses); missed it (it chose
    none, and there is one); none (there is none)."""
    best: Candidate | None
    chosen: str | None
    status: str
    """Of the true best in the plan."""
    more: float
    """Cost of what the plan chose over the true best's, less 1."""


def judged(found: Found, truth: Sequence[Candidate]) -> Judged:
    """What the plan chose beside the cheapest that meets every target."""
    best = next((one for one in truth if one.is_met), None)
    by_name = {one.name: one for one in truth}
    chosen = by_name[found.chosen.name] if found.chosen else None
    seen = {trial.name: trial.status for trial in found.search.trials.values()}
    status = seen.get(best.name, "not run") if best else "-"
    if chosen is None or best is None:
        verdict = "none" if chosen is best else "wrong" if best is None else "missed it"
        return Judged(verdict, best, chosen.name if chosen else None, status, np.inf if best else 0.0)
    more = chosen.cost_per_hour / best.cost_per_hour - 1
    verdict = "wrong" if not chosen.is_met else "same" if abs(more) <= SAME else "dearer"
    return Judged(verdict, best, chosen.name, status, more)


# ---- spaces of 72 candidates


def _file(folder: Path, name: str, scenario: Mapping[str, Any], profile: Mapping[str, Any]) -> str:
    from tests.planted import Case

    return str(Case(name, scenario, profile, None).write(folder))  # type: ignore[arg-type]


def spaces() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Name -> (scenario, profile): three types, eight sizes, three policies."""
    from tests.planted import kind, known, profile, scenario

    memory = {"ml.s": kind(1.0), "ml.m": kind(1.7, gpu_bytes="8.5GB"), "ml.l": kind(3.3, gpu_bytes="17.5GB")}
    groups = [{"name": "a{i:02}", "count": 30}, {"name": "b{i:02}", "count": 15, "gpu_bytes": "500MB"},
              {"name": "c{i:02}", "count": 5, "gpu_bytes": "2GB"}]
    zipf = {"popularity": {"use": "zipf", "s": 0.9, "shuffle": False}}
    evictions = {"endpoint.eviction.gpu": ["lru", "lfu", "gdsf"]}
    spill = {"routing": {"use": "least_outstanding", "spill_outstanding": 3}}
    routers = {"endpoint.routing": [{"use": use, "spill_outstanding": 3} for use in
                                    ("least_outstanding", "random", "join_idle_warm")]}
    cpus = {"ml.s": kind(1.0, vcpus=2), "ml.m": kind(1.8, vcpus=4), "ml.l": kind(3.5, vcpus=8)}
    both = {"ml.s": kind(1.0, vcpus=2), "ml.m": kind(1.6, vcpus=4, gpu_bytes="8.5GB"),
            "ml.l": kind(2.9, vcpus=8, gpu_bytes="12.5GB")}

    def space(**settings: Any) -> dict[str, Any]:
        choose = settings.pop("choose")
        return scenario(plan={"choose": choose, "mixed": False}, **settings)

    return {
        "memory": (space(models=groups, rps=6, types=memory, choose=evictions, workload=zipf, seconds=400, warmup=100,
                         objective={"cold_start_ratio": 0.08, "error_rate": 0.01}), profile(service_ms=10)),
        "cpu": (space(models=6, rps=42, types=cpus, choose=routers, seconds=150, warmup=30,
                      objective={"p99_ms": 1200, "error_rate": 0.01}), profile(service_ms=4, cpu_ms=110)),
        "mixed": (space(models=groups, rps=22, types=both, choose=evictions, workload=zipf, endpoint=spill, seconds=200,
                        warmup=80, objective={"p99_ms": 900, "cold_start_ratio": 0.15, "error_rate": 0.01}),
                  {**profile(service_ms=60, cpu_ms=60), "load": {"time": known("400ms")}}),
        "near": (space(models=groups, rps=6, types=memory, choose=evictions, workload=zipf, seconds=400, warmup=100,
                       objective={"cold_start_ratio": NEAR, "error_rate": 0.01}), profile(service_ms=10)),
    }


LONG = 40
"""So many times slower is everything in long random spaces: the plan may then look at the busiest time alone."""


def random_space(number: int, is_long: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    """(scenario, profile) of a small random space: two types, four sizes, one or two policies, any traffic; a long one
    lasts four hours, with more traffic in one of them."""
    from tests.planted import kind, known, profile, scenario

    rng = np.random.default_rng([number, 6])
    service_ms, cpu_ms = float(rng.choice([5, 20, 60])), float(rng.choice([1, 1, 40]))
    rps = float(np.exp(rng.uniform(0, 1)) * 15 / max(service_ms, 0.4 * cpu_ms, 15) * 15 * rng.choice([0.3, 1, 3]))
    price, small, large = rng.uniform(1.2, 2.6), rng.uniform(2.5, 6.5), rng.uniform(4.5, 12.5)
    types = {"ml.a": kind(1.0, vcpus=int(rng.choice([2, 4])), gpu_bytes=f"{small:.1f}GB"),
             "ml.b": kind(round(float(price), 2), vcpus=8, gpu_bytes=f"{large:.1f}GB")}
    arrivals = [{"use": "poisson", "rate_rps": rps}, {"use": "gamma", "rate_rps": rps, "cv": 2.5},
                {"use": "mmpp", "rates_rps": [0.5 * rps, 2 * rps], "mean_sojourn": ["40s", "20s"]}]
    traffic = arrivals[int(rng.integers(3))]
    choose = [{}, {"endpoint.eviction.gpu": ["lru", "lfu"]}, {"endpoint.eviction.gpu": ["lru", "gdsf"]},
              {"endpoint.routing.use": ["least_outstanding", "random"]}][int(rng.integers(4))]
    objective: dict[str, Any] = {"error_rate": 0.02}
    if rng.random() < 0.75:
        objective["p99_ms"] = round(float((service_ms + cpu_ms) * np.exp(rng.uniform(np.log(3), np.log(60)))), 1)
    if rng.random() < 0.6 or len(objective) == 1:
        objective["cold_start_ratio"] = round(float(np.exp(rng.uniform(np.log(0.01), np.log(0.3)))), 4)
    popularity: dict[str, Any] = {"use": "uniform"}
    if rng.random() < 0.7:
        popularity = {"use": "zipf", "s": round(float(rng.uniform(0.3, 1.3)), 2), "shuffle": bool(rng.integers(2))}
    spill, load_s = int(rng.choice([2, 4, 16])), rng.choice([0.1, 0.5, 2])
    made = scenario(models=int(rng.integers(3, 25)), rps=rps, types=types, objective=objective, seconds=90, warmup=30,
                    workload={"arrivals": traffic, "popularity": popularity},
                    endpoint={"routing": {"use": "least_outstanding", "spill_outstanding": spill}},
                    plan={"choose": choose, "instances": {"min": 1, "max": 4}, "seeds": 5})
    if is_long:
        service_ms, cpu_ms, load_s = LONG * service_ms, LONG * cpu_ms, 10 * load_s
        _lengthen(made, rps / LONG, float(rng.uniform(1.0, 4.0)))
    return made, {**profile(service_ms=service_ms, cpu_ms=cpu_ms), "load": {"time": known(f"{load_s}s")}}


def _lengthen(made: dict[str, Any], rps: float, peak: float) -> None:
    """Four hours, the third with `peak` times the traffic of the others, at most `rps`."""
    shape = [["0h", 1 / peak], ["2h", 1 / peak], ["2.02h", 1], ["3h", 1], ["3.02h", 1 / peak], ["4h", 1 / peak]]
    made |= {"duration": "4h", "warmup": "20m"}
    made["workload"]["arrivals"] = {"use": "profile", "rate_rps": rps, "shape": shape}
    made["endpoint"]["server"]["invocation_timeout"] = "600s"
    if "p99_ms" in made["objective"]:
        made["objective"]["p99_ms"] *= LONG


NEAR = 0.093
"""Limit of "near": within the noise of a candidate that would be the cheapest."""


def main() -> None:
    """Prints a row a scenario."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("names", nargs="*", help="of " + ", ".join(spaces()))
    options.add_argument("--random", type=int, default=0, metavar="N", help="N random small spaces instead")
    options.add_argument("--long", action="store_true", help="random spaces of four hours")
    options.add_argument("--first", type=int, default=0, help="number of the first of them")
    options.add_argument("--seeds", type=int, default=24, help="of the truth")
    options.add_argument("--truth-seed", type=int, default=70_000)
    options.add_argument("--plan-seed", type=int, nargs="*", default=[1000])
    options.add_argument("--processes", type=int, default=1)
    options.add_argument("--list", action="store_true", help="every candidate of the truth")
    given = options.parse_args()
    if given.random:
        _random(given)
        return
    with tempfile.TemporaryDirectory() as scratch:
        for name in given.names or spaces():
            _compare(name, Path(scratch), given)


def _random(given: argparse.Namespace) -> None:
    """Random spaces, the truth with the very seeds that the plan may use at most."""
    for number in range(given.first, given.first + given.random):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            file = _file(folder, f"random-{number}", *random_space(number, given.long))
            question = Question(file, [f"seed={given.truth_seed + number}"], folder / "plan", Workers(given.processes))
            truth = every_candidate(question, question.settings.seeds)
            seen = judged(search(question, silent, lambda _: None), truth)
        odd = ", ".join(_not_monotone(truth)) or "-"
        best = f"{seen.best.name} ({seen.best.nearest:.1f} se)" if seen.best else "none"
        cells = [f"{number}", best, seen.chosen or "none", seen.verdict, seen.status, f"{seen.more:.0%}", odd]
        print("| " + " | ".join(cells) + " |", flush=True)


def _not_monotone(truth: Sequence[Candidate]) -> Iterator[str]:
    """Fleets that miss though a smaller one of the same arm meets."""
    least: dict[str, int] = {}
    for one in sorted(truth, key=lambda one: one.trial.instances):
        arm = one.trial.arm.name
        if one.is_met:
            least.setdefault(arm, one.trial.instances)
        elif arm in least:
            yield f"{one.name} misses, {least[arm]} do"


def _compare(name: str, folder: Path, given: argparse.Namespace) -> None:
    scenario, profile = spaces()[name]
    workers, file = Workers(given.processes), _file(folder, name, scenario, profile)
    begun = time.perf_counter()
    truth = every_candidate(Question(file, [f"seed={given.truth_seed}"], folder / "truth", workers), given.seeds)
    print(f"{name}: {len(truth)} candidates x {given.seeds} seeds, {sum(one.requests for one in truth):,} requests, "
          f"{time.perf_counter() - begun:.0f} s", flush=True)
    if given.list:
        for one in truth:
            print(f"  ${one.cost_per_hour:5.2f}  {one.name:40} {'met' if one.is_met else '   '} {one.nearest:8.1f} se  "
                  + "  ".join(f"{key} {value:.4g}" for key, value in one.means.items() if value is not None))
    for seed in given.plan_seed:
        _planned(Question(file, [f"seed={seed}"], folder / f"{name}-{seed}", workers), truth, given.seeds)


def _planned(question: Question, truth: Sequence[Candidate], seeds: int) -> None:
    begun = time.perf_counter()
    found = search(question, silent, lambda _: None)
    seen = judged(found, truth)
    took_s = time.perf_counter() - begun
    plan = answer(found, lambda _: None, reasons=True)
    every = sum(one.requests for one in truth)
    own = every / seeds * question.settings.seeds
    alone, reasons = plan.effort["requests"], plan.effort["requests_with_reasons"]
    near = f"{seen.best.nearest:.1f}" if seen.best else "-"
    best = seen.best.name if seen.best else "none"
    print(f"| {question.scenario.name} | {question.scenario.seed} | {best} | {near} | {seen.chosen} | "
          f"{seen.verdict} ({seen.status}) | {seen.more:.1%} | {alone:,} | {alone / own:.1%} | "
          f"{alone / every:.1%} | {reasons / own:.1%} | {reasons / every:.1%} | {took_s:.0f} s |", flush=True)


if __name__ == "__main__":
    main()
