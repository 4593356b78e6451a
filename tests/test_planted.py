"""The planner finds the best fleet of every case where it is known, and says what limits it; on a space small enough to
try everything it finds what trying everything finds.

Seeds here were not used while the planner was made. With all reasons, and other seeds: ``python -m
benchmarks.planted``; larger spaces: ``python -m benchmarks.exhaustive``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from planted import CASES, Case, case, kind, profile, scenario, wrong_binding, wrong_fleet, wrong_limits

from benchmarks.exhaustive import every_candidate, judged, silent
from mmesim.parallel import Workers
from mmesim.planner.answer.assemble import answer
from mmesim.planner.answer.limits import limits
from mmesim.planner.answer.mixed import mixed
from mmesim.planner.answer.probe import Probe
from mmesim.planner.plan.question import Question
from mmesim.planner.plan.run import Found, search
from mmesim.results.plan import Limit

SEED, TRUTH_SEED = 40_001, 50_001
DEAR = {"disk", "busiest_time"}
"""Long runs: what limits these is judged by ``benchmarks.planted`` only, as where one instance is enough."""


def found_for(made: Case, folder: Path, seed: int = SEED) -> Found:
    """The search for a case."""
    question = Question(str(made.write(folder)), [f"seed={seed}"], folder / "plan", Workers(2))
    return search(question, silent, lambda _: None)


def limits_of(found: Found) -> Sequence[Limit]:
    """Of the fleet that is one smaller than the chosen one."""
    chosen = found.chosen
    assert chosen is not None and chosen.instances > 1
    smaller = found.search.trial(chosen.arm, chosen.instances - 1, dict(chosen.numbers))
    return limits(Probe(found.search.bench, chosen), smaller)[0]


@pytest.mark.parametrize("name", CASES)
def test_the_best_fleet_is_found(name: str, tmp_path: Path) -> None:
    made = case(name)
    found = found_for(made, tmp_path)
    plan = answer(found, lambda _: None, reasons=made.instance_type is None)
    if made.mixed_instances and found.chosen:
        split = mixed(found.search, found.chosen)
        plan = replace(plan, alternatives=[split] if split else [])
    assert list(wrong_fleet(made, plan)) == [], made.why
    if made.instance_type is None:
        assert list(wrong_binding(made, plan)) == [], made.why
    elif made.binds and made.instances > 1 and name not in DEAR:
        assert list(wrong_limits(made, limits_of(found))) == [], made.why


def test_what_cannot_be_is_said_with_the_nearest_that_can(tmp_path: Path) -> None:
    plan = answer(found_for(case("too_small_a_space"), tmp_path), lambda _: None)
    assert plan.sentences[0] == "Nothing in the space meets the objective."
    assert plan.nearest is not None and plan.nearest.instances == 2
    cold = next(target for target in plan.nearest.targets if target.name == "cold_start_ratio")
    assert cold.value is not None and cold.value.mean == pytest.approx(1 - 8 / 12, abs=0.06)
    assert any(sentence.startswith("It is blocked by GPU memory") for sentence in plan.sentences)


def test_what_is_too_quick_is_said_with_the_quickest(tmp_path: Path) -> None:
    plan = answer(found_for(case("too_quick"), tmp_path), lambda _: None)
    assert plan.nearest is not None
    [quickest] = [target.value.mean for target in plan.nearest.targets if target.name == "p99_ms" and target.value]
    assert 51 <= quickest < 120  # 50 ms of GPU and 1 ms of CPU


def test_nothing_is_better_than_the_plan(tmp_path: Path) -> None:
    """3 types, 4 sizes, 2 evictions with 8 seeds each; the plan has others, and a fifth of the requests at most."""
    types = {"ml.s": kind(1.0), "ml.m": kind(1.9, gpu_bytes="8.5GB"), "ml.l": kind(2.6, gpu_bytes="12.5GB")}
    asked = scenario(models=16, rps=6, types=types, seconds=240, workload={"popularity": {"use": "zipf", "s": 0.8}},
                     objective={"cold_start_ratio": 0.12, "error_rate": 0.01},
                     plan={"choose": {"endpoint.eviction.gpu": ["lru", "lfu"]}, "instances": {"min": 1, "max": 4}})
    made = Case("small", asked, profile(service_ms=5), None)
    found = found_for(made, tmp_path)
    question = Question(str(tmp_path / "small.yaml"), [f"seed={TRUTH_SEED}"], tmp_path / "truth", Workers(2))
    truth = every_candidate(question, 8)
    assert judged(found, truth).verdict == "same", json.dumps({one.name: one.is_met for one in truth}, indent=1)
    all_candidates = sum(one.requests for one in truth) / 8 * question.settings.seeds
    assert found.effort["requests"] <= all_candidates / 5
